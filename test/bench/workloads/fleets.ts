import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Processes } from "../../support/processes.ts";
import { BuiltFleet } from "../built-fleet.ts";
import { ConsumerProcess } from "../child.ts";
import type { Sample, Standing } from "../compete.ts";
import type { Settings } from "../contestant.ts";
import { open } from "../contestant-ours.ts";
import { loadContestant } from "../contestants.ts";
import type { Context } from "../context.ts";
import { now } from "../ledger.ts";
import { RejectedError } from "../measure.ts";
import { payloadOf } from "../payload.ts";
import { Stage } from "../stage.ts";
import { median } from "../statistics.ts";
import { limit, type Section, type Workload } from "../workload.ts";

const TITLE = "symphony consume";

type Flags = Readonly<Record<string, string | number>>;

/** `symphony consume` as a container runs it, over a database of its own. */
async function withFleet<Result>(
  context: Context,
  flags: Flags,
  run: (fleet: BuiltFleet, stage: Stage) => Promise<Result>,
): Promise<Result> {
  const contestant = await loadContestant("ours");
  const stage = await Stage.open(context, contestant, { name: "nothing", make: (target) => contestant.fill(target, 0) });
  const processes = new Processes();
  try {
    const fleet = await BuiltFleet.start(processes, stage.target.connectionString, { threads: 2, ...flags });
    const result = await run(fleet, stage);
    await fleet.stop();
    return result;
  } finally {
    await processes.end();
    await stage.close();
  }
}

function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kb) / 1_024;
}

const transactionsOf = async ({ database }: Stage): Promise<number> => {
  const [row] = await database.query<{ n: number }>(
    "SELECT (xact_commit + xact_rollback)::float8 AS n FROM pg_stat_database WHERE datname = current_database()",
  );
  return row?.n ?? 0;
};

/** Statements that somebody sends who has nothing to do: all idle at the same time, each in a database of its own. */
async function idleStatements(context: Context, seconds: number, stages: readonly Stage[]): Promise<number[]> {
  // What the start left to do, and what backends have still to report.
  await sleep(context.quick ? 4_000 : 12_000);
  const [from, before] = [now(), await Promise.all(stages.map(transactionsOf))];
  await sleep(seconds * 1_000);
  const [elapsed, after] = [(now() - from) / 1_000, await Promise.all(stages.map(transactionsOf))];
  // The first look is in the second one's count.
  return after.map((n, i) => Math.max(0, n - (before[i] ?? 0) - 1) / elapsed);
}

const IDLERS: readonly { name: string; settings: Settings; label: string }[] = [
  { name: "graphile", settings: {}, label: "one process, default settings" },
  { name: "pgboss", settings: { work: {}, notify: true }, label: "one process, notify" },
  { name: "bullmqPostgres", settings: { concurrency: 100 }, label: "one process, concurrency 100" },
];

async function idle(context: Context): Promise<readonly Section[]> {
  const seconds = context.quick ? 5 : 25;
  const stages: Stage[] = [];
  const consumers: ConsumerProcess[] = [];
  try {
    const who: { title: string; label: string }[] = [];
    for (const { name, settings, label } of IDLERS) {
      const contestant = await loadContestant(name);
      const stage = await Stage.open(context, contestant, { name: "idle", make: (target) => contestant.fill(target, 0, { notify: true }) });
      stages.push(stage);
      const consumer = new ConsumerProcess({
        contestant: name,
        target: stage.target,
        settings,
        count: 1,
        work: { kind: "noop" },
        queues: 1,
      });
      consumers.push(consumer);
      await consumer.ready();
      consumer.tell("start");
      who.push({ title: contestant.title, label });
    }
    return await withFleet(context, { processes: 2 }, async (fleet, stage) => {
      const rates = await idleStatements(context, seconds, [stage, ...stages]);
      const resident = [Math.max(...fleet.workers().map(residentMb)), ...consumers.map(({ pid }) => residentMb(pid))];
      const shown = [{ title: TITLE, label: "two processes of two threads and their supervisor" }, ...who];
      const standings = shown.map(({ title, label }, i): Standing => {
        const sample: Sample = { statements: rates[i] ?? Number.NaN, residentMb: resident[i] ?? Number.NaN };
        context.say(`  ${title} (${label}): ${sample.statements?.toFixed(2)} statements/s, ${Math.round(sample.residentMb ?? 0)} MB`);
        return { key: String(i), title, label, samples: [sample] };
      });
      const goals = [
        limit("statements a second, idle", standings[0], "statements", 2, "/s"),
        limit("a worker process of two threads, idle", standings[0], "residentMb", 120, "MB"),
      ];
      const about = `Nothing to do for ${seconds} s, after ${context.quick ? 4 : 12} s to settle. Transactions that the database counted; resident memory of the largest worker process.`;
      const figures = { statements: "statements/s", residentMb: "resident (MB)" };
      return [{ id: "idle", title: "Idle", about, figure: "statements", figures, standings, goals }];
    });
  } finally {
    for (const consumer of consumers) consumer.kill();
    for (const stage of stages) await stage.close();
  }
}

const LONGEST_MS = 140_000;
/** The heaps of process and threads have their size by then. */
const SHORTEST_MS = 60_000;
const GROUP = 1_000;
/** Messages that may wait: enough that the worker always has some. */
const AHEAD = 20_000;

/** An idle worker process collects its garbage once, within ten seconds; then its memory is what it keeps. */
const COLLECTED_WITHIN_MS = 15_000;
/** … which shows: garbage is most of what a busy one has. */
const COLLECTED = 0.8;
/**
 * Parts of the messages after which it is left idle, and between which a busy worker's memory is compared: as long after one
 * each, since a heap that was just collected grows back for some hundred thousand messages.
 */
const PAUSES = [0.3, 0.7];
const [EARLY, LATE] = [
  { from: 0.4, to: 0.6 },
  { from: 0.8, to: 1 },
];

interface Seen {
  readonly handled: number;
  readonly residentMb: number;
}

interface Fed {
  readonly sent: number;
  readonly seen: readonly Seen[];
  /** Memory of the idle worker, in each pause and at the end. */
  readonly keptMb: readonly number[];
}

/** Once everything is handled: what an idle worker process keeps. */
async function keptBy(pid: number, stage: Stage): Promise<number> {
  while (await stage.look.any()) await sleep(20);
  const busy = residentMb(pid);
  const until = now() + COLLECTED_WITHIN_MS;
  while (now() < until && residentMb(pid) > COLLECTED * busy) await sleep(100);
  // Its threads do so one after the other.
  await sleep(500);
  return residentMb(pid);
}

/** Sends as fast as the worker handles, with pauses, and writes down its memory on the way. */
async function feed(fleet: BuiltFleet, stage: Stage, count: number, untilMs: number): Promise<Fed> {
  const { messenger, Bench } = await open({ dsn: stage.target.connectionString, execution: "inline", queues: 1, options: {} });
  const [pid] = fleet.workers();
  if (pid === undefined) throw new Error("the fleet has no worker process");
  const [seen, keptMb]: [Seen[], number[]] = [[], []];
  let sent = 0;
  try {
    for (let looked = 0; sent < count && now() < untilMs; ) {
      // The fleet counts in memory that is not this big: numbers repeat.
      const items = Array.from({ length: GROUP }, (_, i) => ({ type: Bench, payload: payloadOf(i) as never }));
      for (const result of await messenger.dispatchMany(items)) if ("error" in result) throw result.error;
      sent += GROUP;
      if (sent >= (PAUSES[keptMb.length] ?? Number.POSITIVE_INFINITY) * count) keptMb.push(await keptBy(pid, stage));
      if (now() - looked < 500) continue;
      looked = now();
      let waiting = await stage.look.count();
      seen.push({ handled: sent - waiting, residentMb: residentMb(pid) });
      for (; waiting > AHEAD; waiting = await stage.look.count()) await sleep(50);
    }
    keptMb.push(await keptBy(pid, stage));
  } finally {
    await messenger.close();
  }
  if (fleet.workers()[0] !== pid) throw new RejectedError("the worker process was replaced on the way");
  return { sent, seen, keptMb };
}

async function handledBy(stage: Stage, sent: number): Promise<number> {
  let handled = 0;
  for (const until = now() + 10_000; now() < until; await sleep(100)) {
    const [row] = await stage.database.query<{ n: string | null }>("SELECT sum(handled) AS n FROM symphony.messenger_counter");
    handled = Number(row?.n ?? 0);
    if (handled === sent) break;
  }
  return handled;
}

async function memory(context: Context): Promise<readonly Section[]> {
  const count = context.count ?? (context.quick ? 50_000 : 1_000_000);
  return withFleet(context, { processes: 1, concurrency: 200, "batch-size": 500 }, async (fleet, stage) => {
    const idleMb = Math.max(...fleet.workers().map(residentMb));
    const { sent, seen, keptMb } = await feed(
      fleet,
      stage,
      count,
      now() + Math.min(LONGEST_MS, Math.max(SHORTEST_MS, context.endsAt - performance.now())),
    );
    const handled = await handledBy(stage, sent);
    if (handled !== sent) throw new RejectedError(`sent ${sent} messages, handled were ${handled}`);
    const within = ({ from, to }: typeof EARLY): number =>
      median(seen.filter((each) => each.handled >= from * sent && each.handled <= to * sent).map((each) => each.residentMb));
    const [early, late] = [within(EARLY), within(LATE)];
    // What was cut short has no last one, and is not said to have kept what it had before.
    const [keptEarly, keptLate] = [keptMb[0] ?? Number.NaN, keptMb[PAUSES.length] ?? Number.NaN];
    const growth = { growth: late / early, keptGrowth: keptLate / keptEarly };
    const sample = {
      handled: sent,
      startMb: idleMb,
      earlyMb: early,
      lateMb: late,
      keptEarlyMb: keptEarly,
      keptLateMb: keptLate,
      ...growth,
    };
    const shown = [early, late, keptEarly, keptLate].map(Math.round);
    context.say(`  ${sent} messages, busy ${shown[0]} MB early, ${shown[1]} MB late, idle ${shown[2]} MB early, ${shown[3]} MB late`);
    const standing: Standing = { key: "ours", title: TITLE, label: "one process, 2 threads, concurrency 200", samples: [sample] };
    const figures = {
      handled: "messages",
      startMb: "before (MB)",
      earlyMb: "after 40 to 60 % (MB)",
      lateMb: "after 80 to 100 % (MB)",
      keptEarlyMb: "idle after 30 % (MB)",
      keptLateMb: "idle at the end (MB)",
    };
    const about =
      "One worker process, kept busy by the bench; its resident memory is the median of looks every half second. After 30 and 70 % of the messages, and after all, it is left idle until it has collected its garbage: what it then has is what it keeps. Each time, the heaps of a busy one take a tenth of the messages to grow back.";
    const goals = [
      limit(`memory after ${sent} messages, to that after 40 to 60 % of them`, standing, "growth", 1.1, "×"),
      limit(`what it keeps after ${sent} messages, to that after 30 % of them`, standing, "keptGrowth", 1.1, "×"),
    ];
    return [{ id: "memory", title: "Memory of a busy worker", about, figure: "lateMb", figures, standings: [standing], goals }];
  });
}

export const idleFleet: Workload = { name: "idle", title: "an idle fleet", seconds: 60, run: idle };
export const busyMemory: Workload = { name: "memory", title: "memory of a busy worker", seconds: 160, run: memory };
