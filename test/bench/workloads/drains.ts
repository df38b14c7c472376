import { type Choice, choose, compete, type Entry } from "../compete.ts";
import type { Context } from "../context.ts";
import { type DrainOrder, drain, type Measurement } from "../measure.ts";
import { goal, type Section, type Workload } from "../workload.ts";

const FIGURES = {
  perSecond: "messages/s",
  cpuUs: "CPU per message, process (µs)",
  serverUs: "server (µs)",
  residentMb: "resident (MB)",
};

/** The figures of a drain, per message where that makes sense. */
export function sampleOf(measured: Measurement, count: number): Record<string, number> {
  const { perSecond, cpuMs, serverCpuMs, residentMb } = measured;
  return {
    perSecond,
    cpuUs: (cpuMs / count) * 1_000,
    ...(serverCpuMs === undefined ? {} : { serverUs: (serverCpuMs / count) * 1_000 }),
    residentMb,
  };
}

export const DRAIN_FIGURES = FIGURES;

const wanted = ({ only }: Context, names: readonly string[]): string[] =>
  names.filter((name) => only === undefined || name === "ours" || only.includes(name));

/** A slow contestant gets fewer messages: its rate is as steady, and the time goes to the others. */
const SLOW: Readonly<Record<string, number>> = { bullmqPostgres: 20, bullmq: 5 };

const countFor = (context: Context, name: string): number =>
  Math.ceil((context.count ?? (context.quick ? 10_000 : 50_000)) / (SLOW[name] ?? 1));

/** Messages before those that are measured, of each of these: a process that has just started compiles its code for as long. */
const WARM_UP = 0.4;

function warm(context: Context, name: string): { readonly count: number; readonly warmUp: number } {
  const measured = countFor(context, name);
  const warmUp = Math.round(measured * WARM_UP);
  return { count: warmUp + measured, warmUp };
}

function entryOf(context: Context, choice: Choice, more: Partial<DrainOrder> = {}): Entry {
  const { name, title, label, settings } = choice;
  const counts = warm(context, name);
  const flags =
    context.prof !== undefined && (name === "ours" || name === "threads") ? ["--cpu-prof", `--cpu-prof-dir=${context.prof}`] : [];
  const order = { name, settings, ...counts, child: { nodeFlags: flags }, ...more };
  return { key: name, title, label, run: async () => sampleOf(await drain(context, order), counts.count) };
}

async function chooseAll(context: Context, names: readonly string[]): Promise<Choice[]> {
  const choices: Choice[] = [];
  for (const name of names) {
    const ours = choices.find((choice) => choice.name === "ours");
    const batch = (ours?.settings.worker as { batchSize?: number } | undefined)?.batchSize;
    // The limit of PostgreSQL counts at the same batch size as ours.
    const fits = (settings: DrainOrder["settings"]): boolean => !name.startsWith("raw") || settings.batch === batch;
    try {
      choices.push(
        await choose(context, name, async (settings) => (await drain(context, { name, settings, ...warm(context, name) })).perSecond, fits),
      );
    } catch (error) {
      context.say(`  ${name} is out: ${(error as Error).message}`);
      if (name === "ours") throw error;
    }
  }
  return choices;
}

async function one(context: Context): Promise<readonly Section[]> {
  const names = wanted(context, ["ours", "threads", "pgboss", "graphile", "bullmq", "bullmqPostgres", "raw", "rawTake"]);
  const choices = await chooseAll(context, names);
  const entries = choices.map((choice) => entryOf(context, choice));
  const standings = await compete(context, entries, { pairs: 5, budgetMs: 150_000 });
  const goals = [
    goal("over graphile-worker", standings, ["ours", "graphile"], 1.5),
    goal("over pg-boss work()", standings, ["ours", "pgboss"], 2),
    goal("over BullMQ on Redis", standings, ["ours", "bullmq"], 4),
    goal("over BullMQ on PostgreSQL", standings, ["ours", "bullmqPostgres"], 4),
    goal("of the raw SQL limit, claim and delete pipelined in one statement", standings, ["ours", "raw"], 0.5),
    goal("in threads, of inline", standings, ["threads", "ours"], 0.7),
  ];
  const title = `Drain of ${countFor(context, "ours")} no-op messages, one process`;
  const about =
    "Each contestant's documented settings race each other twice; the fastest competes. Its process has just handled two fifths as many of the same queue, which the CPU time includes. BullMQ gets fewer messages, for time. The raw limit holds what it has claimed until it has handled it, like ours; the last row does not, and would lose messages.";
  return [
    { id: "drain", title, about, figure: "perSecond", figures: FIGURES, standings, goals: goals.filter(({ seen }) => seen !== undefined) },
  ];
}

async function two(context: Context): Promise<readonly Section[]> {
  const names = wanted(context, ["ours", "threads", "graphile"]);
  const choices = await chooseAll(context, names);
  const entries = choices.map((choice) => entryOf(context, choice, { processes: 2 }));
  const standings = await compete(context, entries, { pairs: 5, budgetMs: 60_000 });
  const goals = [goal("over graphile-worker's two processes", standings, ["ours", "graphile"], 1.5)];
  const title = `Drain of ${countFor(context, "ours")} no-op messages, two processes`;
  const about = "Two consuming processes and the server share the machine's cores.";
  return [{ id: "drain-two", title, about, figure: "perSecond", figures: FIGURES, standings, goals }];
}

export const drainOne: Workload = { name: "drain", title: "drain, one process", seconds: 260, run: one };
export const drainTwo: Workload = { name: "drain-two", title: "drain, two processes", seconds: 110, run: two };
