import { writeFileSync } from "node:fs";
import { type HeapProfiler, type Profiler, Session } from "node:inspector/promises";
import { hideV8Flags } from "@symphony/worker-runner";
import type { Settings, Target } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";
import { Ledger, now } from "./ledger.ts";
import type { Work } from "./work.ts";

/** What a measuring process is told to consume. */
export interface ConsumeOrder {
  readonly contestant: string;
  readonly target: Target;
  readonly settings: Settings;
  /** Messages there will be, numbered from 0. */
  readonly count: number;
  readonly work: Work;
  readonly queues: number;
  /** Files for profiles of the main thread, from the start until everything is settled. */
  readonly profile?: { readonly cpu?: string; readonly heap?: string };
}

/** What it is told afterwards: begin; everything is settled; end. */
export type ConsumeSignal = "start" | "settled" | "stop";

export type FromConsumer =
  | { readonly kind: "ready" }
  /** Sent while the number changes. */
  | { readonly kind: "progress"; readonly handled: number; readonly at: number }
  | ({ readonly kind: "verdict" } & ConsumeVerdict);

export interface ConsumeVerdict {
  /** How often each message was handled, by its number. */
  readonly runs: Uint8Array;
  readonly latencies: Float64Array;
  /** When each of those was picked up. */
  readonly pickedUpAt: Float64Array;
  readonly startedAt: number;
  readonly firstAt: number;
  /** User and system, from the start until it was told that everything is settled. */
  readonly cpuMs: number;
  readonly residentMb: number;
}

const PROGRESS_MS = 10;
/** Where latency is measured, telling it is one of the things that messages wait for. */
const CALM_PROGRESS_MS = 200;

// For this process: BullMQ would start its threads and processes with them.
hideV8Flags();
// The bench was ended: its measurements are too.
process.once("disconnect", () => process.exit(1));
process.once("message", (order: ConsumeOrder) => {
  consume(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});

async function consume({ contestant, target, settings, count, work, queues, profile }: ConsumeOrder): Promise<void> {
  const ledger = Ledger.create(count, { latencies: work.kind === "latency" });
  const consumer = await (await loadContestant(contestant)).prepare({ target, settings, ledger, work, queues });
  const started = told("start");
  await send({ kind: "ready" });
  await started;
  const settled = told("settled");
  const stop = told("stop");
  const endProfile = profile === undefined ? undefined : await beginProfile(profile);
  const cpu = process.cpuUsage();
  const startedAt = now();
  const progress = reportProgress(ledger, work.kind === "latency" ? CALM_PROGRESS_MS : PROGRESS_MS);
  await consumer.start();
  await settled;
  clearInterval(progress);
  const used = process.cpuUsage(cpu);
  const residentMb = Math.round(process.memoryUsage.rss() / 1_048_576);
  await endProfile?.();
  await stop;
  await consumer.stop();
  const cpuMs = (used.user + used.system) / 1_000;
  const { firstAt } = ledger;
  const [runs, latencies, pickedUpAt] = [ledger.runs(), ledger.latencies(), ledger.pickedUpAt()];
  await send({ kind: "verdict", runs, latencies, pickedUpAt, startedAt, firstAt, cpuMs, residentMb });
  process.exit(0);
}

/** Allocations are sampled, those that are collected included; their interval is small enough for a second's work. */
async function beginProfile({ cpu, heap }: NonNullable<ConsumeOrder["profile"]>): Promise<() => Promise<void>> {
  const session = new Session();
  session.connect();
  if (cpu !== undefined) {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: 200 });
    await session.post("Profiler.start");
  }
  if (heap !== undefined) {
    const everything = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true };
    await session.post("HeapProfiler.startSampling", { samplingInterval: 16_384, ...everything });
  }
  return async () => {
    const write = (file: string, { profile }: Profiler.StopReturnType | HeapProfiler.StopSamplingReturnType): void =>
      writeFileSync(file, JSON.stringify(profile));
    if (cpu !== undefined) write(cpu, await session.post("Profiler.stop"));
    if (heap !== undefined) write(heap, await session.post("HeapProfiler.stopSampling"));
    session.disconnect();
  };
}

function reportProgress(ledger: Ledger, everyMs: number): NodeJS.Timeout {
  let told = 0;
  return setInterval(() => {
    const { handled } = ledger;
    if (handled === told) return;
    told = handled;
    process.send?.({ kind: "progress", handled, at: now() } satisfies FromConsumer);
  }, everyMs);
}

function told(signal: ConsumeSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (message: unknown): void => {
      if (message !== signal) return;
      process.off("message", look);
      resolve();
    };
    process.on("message", look);
  });
}

function send(message: FromConsumer): Promise<void> {
  return new Promise((resolve, reject) => process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error))));
}
