import { setTimeout as sleep } from "node:timers/promises";
import { type ChildOptions, ConsumerProcess } from "./child.ts";
import type { ConsumeOrder, ConsumeVerdict } from "./consume-process.ts";
import type { Settings } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";
import type { Context } from "./context.ts";
import { now } from "./ledger.ts";
import { cpuMsOf, serverCpuMs } from "./server-cpu.ts";
import { type Filling, Stage } from "./stage.ts";
import { NOOP, type Work } from "./work.ts";

export interface Measurement {
  /** From the first handled message, or the end of the warm-up, until nothing was unsettled in the store. */
  readonly perSecond: number;
  /** Between the order to start and the first handled message. */
  readonly firstMs: number;
  /** What `perSecond` is computed from. */
  readonly settledMs: number;
  /** Of the consuming processes, user and system. */
  readonly cpuMs: number;
  /** Of the server's processes for this database, or of Redis; undefined when the server is elsewhere. */
  readonly serverCpuMs: number | undefined;
  /** Of the largest consuming process. */
  readonly residentMb: number;
  /** Milliseconds, by message, for work that measures them. */
  readonly latencies: readonly number[];
}

export interface DrainOrder {
  readonly name: string;
  readonly settings: Settings;
  readonly count: number;
  /** Consuming processes. Default 1. */
  readonly processes?: number;
  readonly queues?: number;
  readonly work?: Work;
  /** How the queue is filled. Default: `count` messages. */
  readonly filling?: Filling;
  /** Measure until so many were handled, the warm-up not counted, and stop there. */
  readonly first?: number;
  /** Messages of `count` that are handled before what is measured: by then the code is compiled. Default 0. */
  readonly warmUp?: number;
  /** Called before the consumers start, with their database; what it returns is called at the end. */
  readonly beside?: (stage: Stage) => Promise<() => Promise<void>>;
  readonly child?: ChildOptions;
  /** Files for profiles; one process only. */
  readonly profile?: ConsumeOrder["profile"];
}

const LOOK_EVERY_MS = 4;
/** Long enough for a repetition to show. */
const REPETITION_MS = 400;

/** A queue that loses messages, or handles them twice without a crash, has no speed. */
export class RejectedError extends Error {}

/** One drain in a database and processes of its own. */
export async function drain(context: Context, order: DrainOrder): Promise<Measurement> {
  const { name, settings, count, queues = 1, work = NOOP, processes = 1 } = order;
  const contestant = await loadContestant(name);
  const filling = order.filling ?? {
    name: `${count} in ${queues}`,
    make: (target) => contestant.fill(target, count, { queues }),
  };
  const stage = await Stage.open(context, contestant, filling);
  const consumers: ConsumerProcess[] = [];
  let endBeside: (() => Promise<void>) | undefined;
  try {
    endBeside = await order.beside?.(stage);
    const { target } = stage;
    for (let i = 0; i < processes; i++)
      consumers.push(new ConsumerProcess({ contestant: name, target, settings, count, work, queues, ...withProfile(order) }, order.child));
    await Promise.all(consumers.map((each) => each.ready()));
    const redisMs = redisCpuMs(context);
    for (const each of consumers) each.tell("start");
    const warm = await warmedUp(consumers, order);
    const end = await settled(stage, consumers, order);
    const serverMs = contestant.store === "redis" ? redisCpuMs(context) - redisMs : await serverCpuMs(stage.database);
    for (const each of consumers) each.tell("settled");
    await sleep(REPETITION_MS);
    const verdicts = await Promise.all(consumers.map((each) => each.verdict()));
    await judge(name, verdicts, stage, order);
    return summarise(verdicts, warm, end, serverMs);
  } finally {
    for (const each of consumers) each.kill();
    await endBeside?.();
    await stage.close();
  }
}

const withProfile = ({ profile }: DrainOrder) => (profile === undefined ? {} : { profile });

/** How many were handled at a time. */
interface Mark {
  readonly handled: number;
  readonly at: number;
}

/** Some more than `wanted` by then: consumers say it every few milliseconds. */
async function reached(consumers: readonly ConsumerProcess[], wanted: number): Promise<Mark> {
  const handled = (): number => consumers.reduce((sum, each) => sum + each.handled, 0);
  await Promise.race(consumers.map((each) => each.until(() => handled() >= wanted, `all of ${wanted} messages`)));
  return { handled: handled(), at: Math.max(...consumers.map((each) => each.progressAt)) };
}

/** The end of the warm-up; undefined without one: then the first message counts. */
async function warmedUp(consumers: readonly ConsumerProcess[], { warmUp = 0 }: DrainOrder): Promise<Mark | undefined> {
  return warmUp === 0 ? undefined : reached(consumers, warmUp);
}

/** Looks into the store only when all were handled: looking costs the one that is measured. */
async function settled(stage: Stage, consumers: readonly ConsumerProcess[], { count, first, warmUp = 0 }: DrainOrder): Promise<Mark> {
  const end = await reached(consumers, first === undefined ? count : warmUp + first);
  if (first !== undefined) return end;
  for (;;) {
    // What a look sees is what there was when it began; how long it then takes is the bench's own business.
    const at = now();
    if (!(await stage.look.any())) return { handled: count, at };
    await sleep(LOOK_EVERY_MS);
  }
}

async function judge(name: string, verdicts: readonly ConsumeVerdict[], stage: Stage, { count, first }: DrainOrder): Promise<void> {
  let [lost, repeated, handled] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const times = verdicts.reduce((sum, { runs }) => sum + (runs[i] ?? 0), 0);
    if (times === 0) lost += 1;
    else handled += 1;
    repeated += Math.max(0, times - 1);
  }
  // What was not asked for must still be there.
  if (first !== undefined) lost -= await stage.look.count();
  if (lost !== 0 || repeated > 0) throw new RejectedError(`${name}: of ${handled + lost} messages ${lost} were lost, ${repeated} repeated`);
}

function summarise(verdicts: readonly ConsumeVerdict[], warm: Mark | undefined, end: Mark, serverMs: number | undefined): Measurement {
  const firstAt = Math.min(...verdicts.map((verdict) => verdict.firstAt || Number.POSITIVE_INFINITY));
  const startedAt = Math.min(...verdicts.map((verdict) => verdict.startedAt));
  const from = warm ?? { handled: 0, at: firstAt };
  if (end.at <= from.at) throw new RejectedError("all that was to be measured came at once with the end of the warm-up");
  return {
    perSecond: (Math.max(end.handled - from.handled, 1) / (end.at - from.at)) * 1_000,
    firstMs: firstAt - startedAt,
    settledMs: end.at - from.at,
    cpuMs: verdicts.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    serverCpuMs: serverMs,
    residentMb: Math.max(...verdicts.map(({ residentMb }) => residentMb)),
    latencies: verdicts.length === 1 ? [...(verdicts[0]?.latencies ?? [])] : [],
  };
}

function redisCpuMs({ redis }: Context): number {
  return "unavailable" in redis ? 0 : cpuMsOf(redis.pid);
}
