import { defineCommand } from "../../command.ts";
import { type FailedMessage, toFailedMessage } from "../../failed-message.ts";
import { plain, print } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { assertFound, FILTER_OPTIONS, listables } from "./selection.ts";

/** One message in full. */
export function toText(message: FailedMessage): string {
  const { error, history, payload, body, headers, metadata } = message;
  const lines: [string, string | undefined][] = [
    ["id", message.id],
    ["type", message.type ?? "(undecodable)"],
    ["transport", message.transport],
    ["queue", message.queue],
    ["priority", String(message.priority)],
    ["dispatched at", message.dispatchedAt ?? undefined],
    ["failed at", message.failedAt],
    ["attempts", String(message.attempts)],
    ["reason", message.reason],
    ["fingerprint", message.fingerprint],
    ["idempotency key", message.idempotencyKey],
    ["headers", Object.keys(headers).length === 0 ? undefined : JSON.stringify(headers)],
    ["metadata", Object.keys(metadata).length === 0 ? undefined : JSON.stringify(metadata)],
    ["payload", body === undefined ? JSON.stringify(payload, null, 2) : undefined],
    ["stored bytes", body],
    ["error", error.stack ?? `${error.name}: ${error.message}`],
    ["history", history.length === 0 ? undefined : JSON.stringify(history, null, 2)],
  ];
  const width = Math.max(...lines.map(([title]) => title.length));
  return lines
    .filter((line): line is [string, string] => line[1] !== undefined)
    .map(([title, value]) => `${title.padEnd(width)}  ${plain(value).replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`)
    .join("\n");
}

export const show = defineCommand({
  usage: "show <id>",
  describe: "Show one failed message in full, with payload and attempts",
  remote: true,
  options: { transport: FILTER_OPTIONS.transport },
  positionals: (yargs) => yargs.positional("id", { type: "string", demandOption: true, describe: "Message id" }),
  examples: [["symphony failed show 0197b2c4-…", "payload, error and history of attempts"]],
  async run(io, flags) {
    const id = String(flags.id);
    const session = await openSession(io, flags);
    const found = await withMessenger(session, (messenger) =>
      Promise.all(
        listables(messenger, flags.transport).map(async ([name, transport]) => {
          const page = await transport.listDeadLetters({ ids: [id] }, { limit: 1 });
          return page.deadLetters.map((letter) => toFailedMessage(name, letter, { payload: true }));
        }),
      ),
    );
    const [message] = found.flat();
    assertFound([id], message === undefined ? [] : [id]);
    if (message !== undefined) print(io, flags.json === true, message, () => toText(message));
  },
});
