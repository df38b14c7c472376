import { integer, MessengerError, type Redrive, type RedriveCommand } from "@symphony/core";
import { audited } from "../../audited.ts";
import { defineCommand, text, toggle } from "../../command.ts";
import { UsageError } from "../../exit-codes.ts";
import type { Io } from "../../io.ts";
import { type Column, oneLine, print, table } from "../../output.ts";
import { openSession, withMessenger } from "../../session.ts";
import { assertDone, describe, follow, type Redriving, redrivables } from "./redrive.ts";
import { asUsage, FILTER_OPTIONS } from "./selection.ts";

type Listed = Redrive & { readonly transport: string };

const COLUMNS: readonly Column<Listed>[] = [
  { title: "ID", value: (each) => each.id },
  { title: "ACTION", value: (each) => `${each.action}${each.dryRun ? " (dry run)" : ""}` },
  { title: "STATE", value: (each) => each.state },
  { title: "DONE", value: (each) => `${each.done}/${each.accuracy === "estimated" ? "~" : ""}${each.matching}`, align: "right" },
  { title: "KEPT", value: (each) => each.conflicts, align: "right" },
  { title: "RATE", value: (each) => (each.rate === null ? "" : `${each.rate}/s`), align: "right" },
  { title: "BY", value: (each) => each.requestedBy },
  { title: "CREATED AT", value: (each) => each.createdAt },
  { title: "FILTER", value: (each) => oneLine(`${JSON.stringify(each.filter)}${each.reason === null ? "" : ` ${each.reason}`}`) },
];

const COMMANDS = ["pause", "resume", "cancel"] as const satisfies readonly RedriveCommand[];

export const redrives = defineCommand({
  usage: "redrives [id]",
  describe: "Retries and removals of many failed messages: list them, or pause, resume or cancel one",
  remote: true,
  options: {
    transport: FILTER_OPTIONS.transport,
    limit: text("List so many, 1 to 200 (20)"),
    pause: toggle("Pause it"),
    resume: toggle("Go on with it, here"),
    cancel: toggle("End it for good"),
    detach: toggle("With --resume: leave it to a running fleet or admin API"),
  },
  positionals: (yargs) => yargs.positional("id", { type: "string", describe: "Id of one" }),
  examples: [
    ["symphony failed redrives", "what runs, and what has run"],
    ["symphony failed redrives 01a205a8-… --resume", "go on with one that was paused, stopped or interrupted"],
  ],
  async run(io, flags) {
    const asked = COMMANDS.filter((command) => flags[command]);
    if (asked.length > 1) throw new UsageError(`give one of --${asked.join(", --")}`);
    const [command] = asked;
    const id = flags.id as string | undefined;
    if (command !== undefined && id === undefined) throw new UsageError(`--${command} needs the id of a redrive`);
    const limit = asUsage(integer({ min: 1, max: 200, default: 20 }), flags.limit, "--limit");
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const sources = redrivables(messenger, flags.transport);
      if (id === undefined) return list(io, flags.json === true, sources, limit);
      const [source, found] = await find(sources, id);
      let redrive = command === undefined ? found : await steer(source, found, command);
      if (command === "resume" && !flags.detach) redrive = await follow(io, messenger, source, redrive);
      print(io, flags.json === true, { transport: source[0], ...redrive }, () =>
        command === undefined ? table(COLUMNS, [{ transport: source[0], ...redrive }]) : describe(redrive, flags.detach),
      );
      if (command === "resume") assertDone([redrive], flags.detach);
    });
  },
});

async function list(io: Io, json: boolean, sources: readonly Redriving[], limit: number): Promise<void> {
  const pages = await Promise.all(
    sources.map(async ([transport, source]) => (await source.redrives.list({ limit })).redrives.map((each) => ({ transport, ...each }))),
  );
  const rows = pages
    .flat()
    .sort((a, b) => (a.id < b.id ? 1 : -1))
    .slice(0, limit);
  print(io, json, { redrives: rows }, () => (rows.length === 0 ? "no redrives" : table(COLUMNS, rows)));
}

/** @throws {MessengerError} `REDRIVE_NOT_FOUND` */
async function find(sources: readonly Redriving[], id: string): Promise<[Redriving, Redrive]> {
  for (const source of sources) {
    const redrive = await source[1].redrives.get(id);
    if (redrive !== undefined) return [source, redrive];
  }
  throw new MessengerError("REDRIVE_NOT_FOUND", `no redrive has the id ${id}`, { details: { id } });
}

const steer = ([, source]: Redriving, { id, ...before }: Redrive, command: RedriveCommand): Promise<Redrive> =>
  audited(source, { action: `${command}-redrive`, target: id }, async () => ({
    value: (await source.redrives.control(id, command)) ?? { id, ...before },
    count: 0,
  }));
