import { compete, type Entry } from "../compete.ts";
import type { Context } from "../context.ts";
import { type DrainOrder, drain } from "../measure.ts";
import type { Filling } from "../stage.ts";
import { type Goal, goal, type Section, type Workload } from "../workload.ts";
import { copies } from "./copies.ts";
import { DRAIN_FIGURES, sampleOf } from "./drains.ts";
import { INLINE } from "./settings.ts";

const TITLE = "Symphony Messenger, inline";

function entryOf(context: Context, key: string, label: string, order: Omit<DrainOrder, "name" | "settings">): Entry {
  const run = async () =>
    sampleOf(await drain(context, { name: "ours", settings: INLINE, ...order }), (order.warmUp ?? 0) + (order.first ?? order.count));
  return { key, title: TITLE, label, run };
}

interface Plan {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly entries: readonly Entry[];
  readonly goals: readonly (readonly [text: string, pair: readonly [string, string], bound: number])[];
  readonly pairs: number;
  readonly budgetMs: number;
}

async function flat(context: Context, { id, title, about, entries, goals, pairs, budgetMs }: Plan): Promise<readonly Section[]> {
  const standings = await compete(context, entries, { pairs, budgetMs });
  const judged: Goal[] = goals.map(([text, pair, bound]) => goal(text, standings, pair, bound));
  return [{ id, title, about, figure: "perSecond", figures: DRAIN_FIGURES, standings, goals: judged }];
}

/** As many from each backlog, and half of the smaller one that counts: what is claimed ahead while they are handled costs as much in each. */
const FIRST = 5_000;
/** Before them: a process that has just started compiles its code for longer than the first messages take. */
const WARM_UP = 20_000;

async function backlog(context: Context): Promise<readonly Section[]> {
  const sizes = context.quick ? [1_000, 10_000, 100_000] : [1_000, 10_000, 100_000, 1_000_000];
  const entries = sizes.map((size) => {
    const count = WARM_UP + size;
    const order = { count, warmUp: WARM_UP, first: Math.min(size, FIRST), filling: waiting(count) };
    const entry = entryOf(context, String(size), `${size} waiting`, order);
    // The others show the way: those that the goal is about get more rounds.
    return size === 10_000 || size === sizes.at(-1) ? entry : { ...entry, rounds: 2 };
  });
  return flat(context, {
    id: "backlog",
    title: "Backlog",
    about: `How fast the first ${FIRST} of a backlog are consumed, or all of it where it is shorter, by a process that has just handled ${WARM_UP} others from the same queue. CPU time includes those, and what was claimed ahead.`,
    entries,
    goals: [["1,000,000 waiting, of 10,000", ["1000000", "10000"], 0.8]],
    pairs: 9,
    budgetMs: 90_000,
  });
}

/** Sent once, copied by the database: a million dispatches would take longer than what is measured. */
const waiting = (size: number): Filling => ({
  name: `${size} waiting`,
  make: (target) => copies(target, { count: size, delayMs: 0 }),
});

/** What a connection does once for each queue, when it first meets it, takes half a second for two hundred: the run is to last longer. */
const SPREAD = 300_000;

async function queues(context: Context): Promise<readonly Section[]> {
  const count = context.count ?? (context.quick ? 10_000 : SPREAD);
  const entries = (context.quick ? [1, 20] : [1, 20, 200]).map((n) => {
    const filling: Filling = { name: `${count} in ${n}`, make: (target) => copies(target, { count, delayMs: 0, queues: n }) };
    return entryOf(context, String(n), `${n} queue${n === 1 ? "" : "s"}`, { count, queues: n, filling });
  });
  return flat(context, {
    id: "queues",
    title: "Queues",
    about: `${count} messages, spread evenly over the queues of one worker. A connection plans what it does once for each queue: with 200 queues that is about half a second of the run.`,
    entries,
    goals: [["200 queues, of 1", ["200", "1"], 0.7]],
    pairs: 5,
    budgetMs: 90_000,
  });
}

async function scheduled(context: Context): Promise<readonly Section[]> {
  const [count, later] = [context.count ?? 50_000, context.quick ? 50_000 : 500_000];
  const besides: Filling = {
    name: `${count} beside ${later}`,
    make: async (target) => {
      await copies(target, { count: later, delayMs: 30 * 86_400_000 });
      await copies(target, { count, delayMs: 0 });
    },
  };
  const alone: Filling = { name: `${count} copies`, make: (target) => copies(target, { count, delayMs: 0 }) };
  return flat(context, {
    id: "scheduled",
    title: "Scheduled messages beside",
    about: `${count} messages that are due, alone and beside ${later} in the same queue that are due in 30 days.`,
    entries: [
      entryOf(context, "beside", `${later} scheduled`, { count, first: count, filling: besides }),
      entryOf(context, "alone", "none", { count, first: count, filling: alone }),
    ],
    goals: [[`beside ${later} scheduled, of none`, ["beside", "alone"], 0.9]],
    pairs: 5,
    budgetMs: 60_000,
  });
}

async function pinned(context: Context): Promise<readonly Section[]> {
  const count = context.count ?? (context.quick ? 10_000 : 50_000);
  const pin: NonNullable<DrainOrder["beside"]> = async ({ database }) => {
    // Its snapshot keeps every row version that dies after it from being removed.
    const { release } = await database.hold("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    return release;
  };
  return flat(context, {
    id: "pinned",
    title: "A pinned transaction",
    about: `${count} messages, with and without a REPEATABLE READ transaction that stays open for the length of the run: nothing that the run leaves behind can be cleaned up.`,
    entries: [entryOf(context, "pinned", "a pinned transaction", { count, beside: pin }), entryOf(context, "free", "none", { count })],
    goals: [["pinned, of not pinned", ["pinned", "free"], 0.7]],
    pairs: 5,
    budgetMs: 50_000,
  });
}

export const backlogs: Workload = { name: "backlog", title: "backlog of 10³ to 10⁶", seconds: 130, run: backlog };
export const manyQueues: Workload = { name: "queues", title: "1 to 200 queues", seconds: 130, run: queues };
export const scheduledBeside: Workload = { name: "scheduled", title: "500,000 scheduled beside", seconds: 80, run: scheduled };
export const pinnedTransaction: Workload = { name: "pinned", title: "a pinned transaction", seconds: 60, run: pinned };
