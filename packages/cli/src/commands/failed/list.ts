import { integer } from "@symphony/core";
import { defineCommand, text, toggle } from "../../command.ts";
import { type FailedMessage, toFailedMessage } from "../../failed-message.ts";
import { type Column, oneLine, plural, print, table } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { asUsage, FILTER_OPTIONS, listables, toFilter } from "./selection.ts";

const COLUMNS: readonly Column<FailedMessage>[] = [
  { title: "ID", value: (message) => message.id },
  { title: "TYPE", value: (message) => message.type ?? "(undecodable)" },
  { title: "QUEUE", value: (message) => message.queue },
  { title: "FAILED AT", value: (message) => message.failedAt },
  { title: "ATTEMPTS", value: (message) => message.attempts, align: "right" },
  { title: "REASON", value: (message) => message.reason },
  { title: "ERROR", value: (message) => oneLine(`${message.error.name}: ${message.error.message}`, 80) },
];

export const list = defineCommand({
  usage: "list",
  describe: "List failed messages, newest first",
  remote: true,
  options: {
    ...FILTER_OPTIONS,
    limit: text("At most so many, 1 to 200 (50)"),
    offset: text("Leave out so many (0)"),
    payload: toggle("With the payloads, in --json"),
  },
  examples: [
    ["symphony failed list --since 2h --type image.resize", "what failed in the last two hours"],
    ["symphony failed list --json --limit 200", "for scripts"],
  ],
  async run(io, flags) {
    const limit = asUsage(integer({ min: 1, max: 200, default: 50 }), flags.limit, "--limit");
    const offset = asUsage(integer({ min: 0, default: 0 }), flags.offset, "--offset");
    const filter = toFilter(flags, io.clock.now());
    const session = await openSession(io, flags);
    const pages = await withMessenger(session, (messenger) =>
      Promise.all(
        listables(messenger, flags.transport).map(async ([name, transport]) => {
          // Several transports are merged: each may have to give the whole page.
          const page = await transport.listDeadLetters(filter, { limit: limit + offset });
          return { ...page, messages: page.deadLetters.map((letter) => toFailedMessage(name, letter, { payload: flags.payload })) };
        }),
      ),
    );
    const merged = pages.flatMap((page) => page.messages).sort((a, b) => Date.parse(b.failedAt) - Date.parse(a.failedAt));
    const messages = merged.slice(offset, offset + limit);
    const total = pages.reduce((sum, page) => sum + page.total, 0);
    const accuracy = pages.some((page) => page.accuracy === "estimated") ? "estimated" : "exact";
    const pagination = { total, accuracy, limit, offset, hasMore: offset + messages.length < total };
    print(io, flags.json === true, { messages, pagination }, () => {
      if (messages.length === 0) return "no failed messages";
      return `${table(COLUMNS, messages)}\n${messages.length} of ${accuracy === "exact" ? "" : "about "}${plural(total, "failed message")}`;
    });
  },
});
