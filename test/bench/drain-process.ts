import { performance } from "node:perf_hooks";
import type { Settings } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";

/** What the measuring process is told to do: `{ contestant, connectionString, settings, count }`. */
export interface DrainOrder {
  readonly contestant: string;
  readonly connectionString: string;
  readonly settings: Settings;
  readonly count: number;
}

/** Sent once all messages were handled. Times are milliseconds since 1970, so that they compare between processes. */
export interface DrainReport {
  readonly startedAt: number;
  readonly handledAt: number;
  readonly cpuMs: number;
}

/** Sent at the end, after a moment in which a repetition would have come. */
export interface DrainVerdict {
  readonly lost: number;
  readonly repeated: number;
  readonly residentMb: number;
}

const now = (): number => performance.timeOrigin + performance.now();

// The bench was ended: its measurements are too.
process.once("disconnect", () => process.exit(1));
process.once("message", (order: DrainOrder) => {
  drain(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});

async function drain({ contestant, connectionString, settings, count }: DrainOrder): Promise<void> {
  const consumer = await (await loadContestant(contestant)).prepare({ connectionString, settings, count });
  const cpu = process.cpuUsage();
  const startedAt = now();
  await consumer.start();
  await consumer.done();
  const handledAt = now();
  const used = process.cpuUsage(cpu);
  await send({ startedAt, handledAt, cpuMs: (used.user + used.system) / 1_000 } satisfies DrainReport);
  // The parent answers when the database holds nothing unsettled any more.
  await new Promise<void>((resolve) => process.once("message", () => resolve()));
  await consumer.stop();
  const runs = Array.from({ length: count }, (_, number) => consumer.runs()[number] ?? 0);
  const lost = runs.filter((times) => times === 0).length;
  const repeated = runs.reduce((sum, times) => sum + Math.max(0, times - 1), 0);
  await send({ lost, repeated, residentMb: Math.round(process.memoryUsage.rss() / 1_048_576) } satisfies DrainVerdict);
  process.exit(0);
}

function send(message: object): Promise<void> {
  return new Promise((resolve, reject) => process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error))));
}
