import { accessSync, constants, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConsumerProcess, ProducerProcess } from "../child.ts";
import { compete, type Entry, type Sample } from "../compete.ts";
import type { Settings } from "../contestant.ts";
import { loadContestant } from "../contestants.ts";
import type { Context } from "../context.ts";
import { DiskProbe, meets, stallsAmong, type Write } from "../disk-probe.ts";
import { RejectedError } from "../measure.ts";
import type { Phase, PhaseReport } from "../produce-process.ts";
import { Stage } from "../stage.ts";
import { quantile } from "../statistics.ts";
import { goal, type Section, type Workload } from "../workload.ts";
import { DEFAULTS, INLINE_DEFAULTS } from "./settings.ts";

export interface LiveOrder {
  readonly name: string;
  readonly settings: Settings;
  readonly phase: Phase;
  /** Messages that may come, at most. */
  readonly most: number;
  readonly notify?: boolean;
  /** Leave out the messages during which the disk stood still, and tell how many. */
  readonly calm?: boolean;
}

/** Messages that wait for the consumer when it starts. */
const WARM_UP = 50;
/** Messages one after the other before a measurement of such. */
const REHEARSED = 1_000;

/**
 * What goes first, for connections, plans and compiled code: a worker that waits has mostly been there for long, and the tail
 * of one that has just started is V8's compiler, which takes a core from what is measured. Some at the pace of the
 * measurement come last, in which whoever has not kept up with the others can.
 */
function rehearsalsOf(phase: Phase): Phase[] {
  if (phase.kind !== "paced") return [{ ...phase, ms: 500 }];
  return [
    { ...phase, everyMs: 3, count: REHEARSED },
    { ...phase, count: 50 },
  ];
}

/** Sends and consumes at the same time: latencies from the call that sends to the start of the handler. */
export async function live(context: Context, { name, settings, phase, most, notify = false, calm = false }: LiveOrder): Promise<Sample> {
  const contestant = await loadContestant(name);
  const filling = {
    name: `${WARM_UP}, notify ${notify}`,
    make: (target: Stage["target"]) => contestant.fill(target, WARM_UP, { notify }),
  };
  const stage = await Stage.open(context, contestant, filling);
  const { target } = stage;
  const consumer = new ConsumerProcess({ contestant: name, target, settings, count: most, work: { kind: "latency" }, queues: 1 });
  const producer = new ProducerProcess({ contestant: name, target, phases: [...rehearsalsOf(phase), phase], from: WARM_UP });
  let probe: DiskProbe | undefined;
  try {
    if (calm) probe = await probeDiskOf(stage);
    await Promise.all([consumer.ready(), producer.ready()]);
    consumer.tell("start");
    // Until it has consumed something, it may still be loading its threads.
    await consumer.until(() => consumer.handled >= WARM_UP, "the messages that were there before");
    const reports = await producer.run();
    const sent = WARM_UP + reports.reduce((sum, report) => sum + report.sent, 0);
    await consumer.until(() => consumer.handled >= sent, `all of ${sent} messages`);
    consumer.tell("settled");
    const writes: readonly Write[] = (await probe?.stop()) ?? [];
    probe = undefined;
    const { runs, latencies, pickedUpAt, cpuMs } = await consumer.verdict();
    const once = runs.subarray(0, sent).every((times) => times === 1);
    if (!once) throw new RejectedError(`${name}: not each of ${sent} messages was handled once`);
    const stalls = stallsAmong(writes);
    const isCalm = (ms: number, i: number): boolean => !meets(stalls, (pickedUpAt[i] ?? 0) - ms, pickedUpAt[i] ?? 0);
    const measured = reports.at(-1) as PhaseReport;
    const [first, all] = [sent - measured.sent, [...latencies]];
    const counted = all.filter((ms, i) => i >= first && i < sent && isCalm(ms, i));
    if (counted.length < (sent - first) / 3)
      throw new RejectedError(`${name}: the disk stood still for all but ${counted.length} of ${sent - first} messages`);
    const perSecond = (measured.sent / measured.elapsedMs) * 1_000;
    return {
      perSecond,
      p50: quantile(counted, 0.5),
      p99: quantile(counted, 0.99),
      max: Math.max(...counted),
      cpuUs: (cpuMs / (sent - WARM_UP)) * 1_000,
      ...(calm ? { leftOut: sent - first - counted.length } : {}),
    };
  } finally {
    await probe?.stop().catch(() => undefined);
    consumer.kill();
    producer.kill();
    await stage.close();
  }
}

/** Beside the server's data; undefined where we may not ask where that is, or cannot write there, or it is on another machine. */
async function probeDiskOf({ database }: Stage): Promise<DiskProbe | undefined> {
  try {
    const [row] = await database.query<{ directory: string; started: number }>(
      "SELECT current_setting('data_directory') AS directory, extract(epoch FROM pg_postmaster_start_time())::float8 AS started",
    );
    const { directory, started } = row ?? { directory: "", started: 0 };
    // Its third line: when the server that has this directory was started.
    const [, , startedThere] = readFileSync(join(directory, "postmaster.pid"), "utf8").split("\n");
    if (Math.abs(Number(startedThere) - started) > 2) return undefined;
    accessSync(dirname(directory), constants.W_OK);
    return new DiskProbe(join(dirname(directory), `probe-${process.pid}`));
  } catch {
    return undefined;
  }
}

const IDLE: readonly (Omit<LiveOrder, "phase" | "most"> & { key?: string; label: string })[] = [
  { name: "threads", settings: DEFAULTS, label: "default settings, two threads" },
  { name: "ours", settings: INLINE_DEFAULTS, label: "default settings, inline" },
  { name: "graphile", settings: { durable: true }, label: "default settings" },
  // With its default batch of 1 it takes one message for several wake-ups that come together, and the next after 30 s.
  {
    name: "pgboss",
    settings: {
      work: {
        batchSize: 100,
        burstWhenBatchFull: true,
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5,
        includeMetadata: false,
      },
      notify: true,
      durable: true,
    },
    notify: true,
    label: "notify, batch 100",
  },
  { name: "bullmq", settings: { concurrency: 100, durable: true }, label: "concurrency 100" },
  { name: "bullmqPostgres", settings: { concurrency: 100, durable: true }, label: "concurrency 100" },
];

/** Those that goals are about: tails depend on the machine most of all, so they get the most rounds. */
const PAIRED: ReadonlySet<string> = new Set(["threads", "ours", "graphile", "pgboss"]);

async function run(context: Context): Promise<readonly Section[]> {
  const count = context.quick ? 100 : 300;
  const entries: Entry[] = [];
  for (const order of IDLE) {
    if (context.only !== undefined && !["ours", "threads", ...context.only].includes(order.name)) continue;
    const { title } = await loadContestant(order.name);
    const phase = { kind: "paced", everyMs: 20, count } as const;
    entries.push({
      key: order.name,
      title,
      label: order.label,
      ...(PAIRED.has(order.name) ? {} : { rounds: 2 }),
      run: () => live(context, { ...order, phase, most: count + REHEARSED + 100, calm: true }),
    });
  }
  const standings = await compete(context, entries, { pairs: 8, budgetMs: 350_000 });
  const lower = (figure: string) => ({ figure, sense: "<=" }) as const;
  const goals = ["threads", "ours"].flatMap((key) => {
    const how = key === "ours" ? "inline" : "threads";
    return ["graphile", "pgboss"].flatMap((other) => {
      const who = other === "graphile" ? "graphile-worker" : "pg-boss with notify";
      return ["p50", "p99"].map((figure) => goal(`${how}, ${figure} to ${who}'s`, standings, [key, other], 1, lower(figure)));
    });
  });
  const figures = { p50: "p50 (ms)", p99: "p99 (ms)", max: "max (ms)", leftOut: "left out" };
  const about = `A message every 20 ms, ${count} in each run, from the call that sends it, commit included, to the start of its handler, after ${REHEARSED} that were 3 ms apart. Everything is durable but our claim, which is made so by what acknowledges it. Messages that met a stall of the disk are left out, for everybody: meanwhile a probe writes a page and waits for it fifty times a second, and a stall is a write that takes ten times as long as most, and 5 ms.`;
  return [{ id: "latency", title: "Pick-up latency at idle", about, figure: "p50", figures, standings, goals }];
}

export const latency: Workload = { name: "latency", title: "pick-up latency at idle", seconds: 360, run };
