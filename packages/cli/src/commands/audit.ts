import { type Auditable, type AuditRecord, integer, isAuditable, type Messenger, MessengerError, type Transport } from "@symphony/core";
import { cliActor } from "../audited.ts";
import { defineCommand, defineGroup, text, toggle } from "../command.ts";
import { confirm } from "../confirm.ts";
import { CommandFailed } from "../exit-codes.ts";
import { type Column, oneLine, plural, print, table } from "../output.ts";
import { chosenTransports, openSession, withMessenger } from "../session.ts";
import { asUsage } from "./failed/selection.ts";

type Listed = AuditRecord & { readonly transport: string };

const COLUMNS: readonly Column<Listed>[] = [
  { title: "ID", value: (record) => record.id },
  { title: "AT", value: (record) => record.at },
  { title: "WHO", value: (record) => `${record.actor.name} (${record.actor.kind})` },
  { title: "ACTION", value: (record) => record.action },
  { title: "TARGET", value: (record) => record.target ?? oneLine(JSON.stringify(record.parameters), 60) },
  { title: "COUNT", value: (record) => record.count, align: "right" },
  { title: "OUTCOME", value: (record) => record.outcome },
  { title: "UNDO", value: (record) => (record.undoable ? "yes" : "") },
];

const OPTIONS = { transport: text("Only this transport") } as const;

function auditables(messenger: Messenger, named: string | undefined): readonly (readonly [string, Transport & Auditable])[] {
  const chosen = chosenTransports(messenger, named === undefined ? [] : [named]);
  const able = chosen.filter((entry): entry is readonly [string, Transport & Auditable] => isAuditable(entry[1]));
  if (able.length > 0) return able;
  throw new MessengerError("CAPABILITY_MISSING", `${chosen.map(([name]) => name).join(", ")} keeps no records of actions`);
}

const list = defineCommand({
  usage: "list",
  describe: "List who did what, newest first",
  remote: true,
  options: { ...OPTIONS, limit: text("At most so many, 1 to 200 (50)") },
  examples: [["symphony audit list --json --limit 200", "for scripts"]],
  async run(io, flags) {
    const limit = asUsage(integer({ min: 1, max: 200, default: 50 }), flags.limit, "--limit");
    const session = await openSession(io, flags);
    const pages = await withMessenger(session, (messenger) =>
      Promise.all(
        auditables(messenger, flags.transport).map(async ([transport, source]) =>
          (await source.listAudit({ limit })).records.map((record) => ({ ...record, transport })),
        ),
      ),
    );
    const records = pages
      .flat()
      .sort((a, b) => Date.parse(b.at) - Date.parse(a.at))
      .slice(0, limit);
    print(io, flags.json === true, { records }, () => (records.length === 0 ? "no actions are recorded" : table(COLUMNS, records)));
  },
});

const undo = defineCommand({
  usage: "undo <id>",
  describe: "Bring back what an action removed, within seven days",
  remote: true,
  options: { ...OPTIONS, force: toggle("Do not ask, on a terminal") },
  positionals: (yargs) => yargs.positional("id", { type: "string", demandOption: true, describe: "Of the action, from `audit list`" }),
  examples: [["symphony audit undo 01a2b1c4-…", "the messages are where they were"]],
  async run(io, flags) {
    const id = flags.id as string;
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const transports = auditables(messenger, flags.transport);
      if (io.interactive && !(await confirm(io, `Bring back what the action ${id} removed?`, flags.force)))
        throw new CommandFailed("nothing was changed");
      const done = await undoIn(transports, id);
      print(io, flags.json === true, { success: true, ...done }, () =>
        [
          `brought back ${plural(done.restored, "message")}`,
          ...(done.conflicts === 0 ? [] : [`${plural(done.conflicts, "message")} stayed in the trash: there again, or the queue is gone`]),
        ].join("\n"),
      );
    });
  },
});

async function undoIn(transports: readonly (readonly [string, Auditable])[], id: string): ReturnType<Auditable["undoAudited"]> {
  for (const [, transport] of transports) {
    try {
      return await transport.undoAudited(id, { actor: cliActor(), action: "undo", target: id });
    } catch (error) {
      if (!(error instanceof MessengerError) || error.code !== "AUDIT_NOT_FOUND") throw error;
    }
  }
  throw new MessengerError("AUDIT_NOT_FOUND", `no action is recorded as ${id}`, { details: { id } });
}

export const audit = defineGroup({ usage: "audit", describe: "Who did what, and taking it back", commands: [list, undo] });
