import { type DeadLetterGroup, type DeadLetterGroupFilter, integer, isGroupable, MessengerError } from "@symphony/core";
import { defineCommand, text } from "../../command.ts";
import { type Column, oneLine, plural, print, table } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { asUsage, FILTER_OPTIONS, listables, toFilter } from "./selection.ts";

type Row = DeadLetterGroup & { readonly transport: string };

const COLUMNS: readonly Column<Row>[] = [
  { title: "FINGERPRINT", value: (group) => (group.fingerprint === "" ? "(none)" : group.fingerprint) },
  { title: "COUNT", value: (group) => `${group.accuracy === "estimated" ? "~" : ""}${group.count}`, align: "right" },
  { title: "TYPE", value: (group) => group.type ?? "(undecodable)" },
  { title: "QUEUE", value: (group) => group.queue },
  { title: "LAST FAILED AT", value: (group) => group.lastFailedAt },
  { title: "REASON", value: (group) => group.reason },
  { title: "ERROR", value: (group) => oneLine(`${group.error.name}: ${group.error.message}`, 80) },
];

const { transport, type, queue, since, until } = FILTER_OPTIONS;

export const groups = defineCommand({
  usage: "groups",
  describe: "Failed messages by error fingerprint: which bugs there are, the most frequent first",
  remote: true,
  options: { transport, type, queue, since, until, limit: text("At most so many groups, 1 to 1000 (50)") },
  examples: [
    ["symphony failed groups --since 1d", "what has broken since yesterday"],
    ["symphony failed retry --all --fingerprint 0df1ee08f5d7c5a1", "retry the messages of one group, when its bug is fixed"],
  ],
  async run(io, flags) {
    const limit = asUsage(integer({ min: 1, max: 1_000, default: 50 }), flags.limit, "--limit");
    const filter: DeadLetterGroupFilter = toFilter(flags, io.clock.now());
    const session = await openSession(io, flags);
    const found = await withMessenger(session, (messenger) =>
      Promise.all(
        listables(messenger, flags.transport).map(async ([name, source]) => {
          if (!isGroupable(source))
            throw new MessengerError("CAPABILITY_MISSING", `the transport "${name}" cannot group failed messages`, {
              details: { transport: name },
            });
          const page = await source.groupDeadLetters(filter, limit);
          return { hasMore: page.hasMore, rows: page.groups.map((group) => ({ transport: name, ...group })) };
        }),
      ),
    );
    const all = found.flatMap((each) => each.rows).sort((a, b) => b.count - a.count);
    const rows = all.slice(0, limit);
    const hasMore = all.length > limit || found.some((each) => each.hasMore);
    print(io, flags.json === true, { groups: rows, hasMore }, () => {
      if (rows.length === 0) return "no failed messages";
      return `${table(COLUMNS, rows)}\n${plural(rows.length, "group")}${hasMore ? ", and there are more" : ""}`;
    });
  },
});
