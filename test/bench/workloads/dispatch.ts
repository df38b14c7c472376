import { ProducerProcess } from "../child.ts";
import { compete, type Entry, type Sample } from "../compete.ts";
import { loadContestant } from "../contestants.ts";
import type { Context } from "../context.ts";
import { RejectedError } from "../measure.ts";
import type { Phase } from "../produce-process.ts";
import { Stage } from "../stage.ts";
import { goal, type Section, type Workload } from "../workload.ts";

const CALLS: Readonly<Record<string, string>> = {
  ours: "dispatch, dispatchMany",
  pgboss: "send, insert",
  graphile: "addJob, addJobs",
  bullmq: "add, addBulk",
  bullmqPostgres: "add, addBulk",
  raw: "one insert each, one insert of all",
};

const FIGURES = {
  one: "one at a time (messages/s)",
  ten: "10 in flight",
  hundred: "100 in flight",
  many: "1,000 in one call",
  manyTwo: "1,000 in each of two calls",
};

async function measure(context: Context, name: string, ms: number): Promise<Sample> {
  const contestant = await loadContestant(name);
  const stage = await Stage.open(context, contestant, { name: "nothing", make: (target) => contestant.fill(target, 0) });
  let producer: ProducerProcess | undefined;
  try {
    const flatOut = (inFlight: number, size = 1): Phase => ({ kind: "flat-out", inFlight, size, ms });
    // The first one warms up what is compiled and planned, and is not counted.
    const phases = [{ ...flatOut(10), ms: 300 }, flatOut(1), flatOut(10), flatOut(100), flatOut(1, 1_000), flatOut(2, 1_000)];
    producer = new ProducerProcess({ contestant: name, target: stage.target, phases });
    await producer.ready();
    const reports = await producer.run();
    const sent = reports.reduce((sum, report) => sum + report.sent, 0);
    const stored = await stage.look.count();
    if (stored !== sent) throw new RejectedError(`${name}: sent ${sent} messages, stored are ${stored}`);
    const [one, ten, hundred, many, manyTwo] = reports.slice(1).map((report) => (report.sent / report.elapsedMs) * 1_000);
    return { one: one ?? 0, ten: ten ?? 0, hundred: hundred ?? 0, many: many ?? 0, manyTwo: manyTwo ?? 0 };
  } finally {
    producer?.kill();
    await stage.close();
  }
}

async function run(context: Context): Promise<readonly Section[]> {
  const names = Object.keys(CALLS).filter((name) => context.only === undefined || name === "ours" || context.only.includes(name));
  const entries: Entry[] = [];
  for (const name of names) {
    const { title } = await loadContestant(name);
    entries.push({ key: name, title, label: CALLS[name] ?? "", run: () => measure(context, name, context.quick ? 400 : 1_200) });
  }
  const standings = await compete(context, entries, { pairs: 3, budgetMs: 120_000 });
  const goals = [
    goal("dispatch with 100 in flight, over pg-boss send", standings, ["ours", "pgboss"], 5, { figure: "hundred" }),
    goal("dispatch with 100 in flight, of its own dispatchMany", standings, ["ours", "ours"], 0.5, { figure: "hundred", other: "many" }),
    goal("dispatchMany of 1,000, over pg-boss insert", standings, ["ours", "pgboss"], 1, { figure: "many" }),
  ];
  const about =
    "One sending process, commits as durable as the store makes them by default (Redis: to the second). What was stored is counted afterwards. pg-boss's jobs have UUIDv7 ids, like ours.";
  return [{ id: "dispatch", title: "Dispatch", about, figure: "hundred", figures: FIGURES, standings, goals }];
}

export const dispatch: Workload = { name: "dispatch", title: "dispatch", seconds: 130, run };
