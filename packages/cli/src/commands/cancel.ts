import { findMessage, isCancellable, MessengerError } from "@symphony/core";
import { audited, operator } from "../audited.ts";
import { defineCommand, text } from "../command.ts";
import { CommandFailed } from "../exit-codes.ts";
import { print } from "../output.ts";
import { openSession, withMessenger } from "../session.ts";

export const cancel = defineCommand({
  usage: "cancel <id>",
  describe: "End a message for good, waiting or running, on whatever node it is",
  remote: true,
  options: { transport: text("The transport that has it; default: all are asked") },
  positionals: (yargs) => yargs.positional("id", { type: "string", demandOption: true, describe: "Message id" }),
  examples: [["symphony cancel 0197b2c4-…", "if it runs, its signal aborts; it is not tried again"]],
  async run(io, flags) {
    const id = String(flags.id);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const found = await findMessage(messenger, id, flags.transport === undefined ? {} : { transport: flags.transport });
      const { transport } = found ?? notFound(id);
      const source = messenger.transport(transport);
      if (!isCancellable(source)) throw new MessengerError("CAPABILITY_MISSING", `${transport} cannot cancel messages`);
      const done = await audited(source, { action: "cancel", target: id }, async () => {
        const value = await source.cancelMessage(id, operator());
        if (value.kind === "unknown") notFound(id);
        if (value.kind === "over") throw new CommandFailed(`the message ${id} is ${value.state} already`);
        return { value, count: 1 };
      });
      const { kind, ...rest } = done;
      print(io, flags.json === true, { success: true, messageId: id, transport, outcome: kind, ...rest }, () =>
        done.kind === "removed"
          ? `cancelled ${id}: it was waiting in ${done.queue}`
          : `cancelled ${id}: worker ${done.workerId ?? "(unknown)"} is told to stop handling it`,
      );
    });
  },
});

function notFound(id: string): never {
  throw new MessengerError("MESSAGE_NOT_FOUND", `no message has the id ${id}, or it was handled`);
}
