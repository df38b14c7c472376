import { type ErrorRecord, integer, type Logger, type Messenger, object, optional, parseOptions, string } from "@symphony/core";
import { Piscina } from "piscina";
import { LOG_LEVELS, type LogLevel } from "./thread-protocol.ts";

export interface ThreadPoolOptions {
  /** Path or URL of the module whose default export is the configuration; loaded again in every thread. TypeScript works. */
  readonly configPath: string;
  /** The main thread's: what handlers dispatch goes out through it. */
  readonly messenger: Messenger;
  /** Where the messages come from. */
  readonly transport: string;
  readonly threads: number;
  /** Messages at a time over all threads. */
  readonly concurrency: number;
  /** Megabytes of JavaScript heap per thread; over it the thread dies alone. Default: V8's. */
  readonly maxOldSpaceMb?: number;
  /** Milliseconds from the timeout to the end of the thread at the latest, 100 or more. Default 1000. */
  readonly graceMs?: number;
  readonly logger?: Logger;
  /** Log calls in threads below this level are not relayed. Default: the logger's own `level`, else "info". */
  readonly logLevel?: string;
  /** A message's code failed after the message had ended. */
  readonly onLateError?: (late: { readonly messageId: string; readonly error: ErrorRecord }) => void;
  /**
   * A thread goes on although it was ended: native code, or a loop that V8 does not interrupt, holds it. Its messages
   * have their outcomes and another thread took its place, but only the end of the process ends it.
   */
  readonly onStuckThread?: () => void;
}

const optionsSchema = object({
  configPath: string(),
  threads: integer({ min: 1, max: 256 }),
  concurrency: integer({ min: 1, max: 10_000 }),
  maxOldSpaceMb: optional(integer({ min: 8 })),
  graceMs: integer({ min: 100, max: 60_000, default: 1_000 }),
});

/** @throws {OptionsError} `OPTIONS_INVALID`, naming the field. */
export function parseThreadPoolOptions({ configPath, threads, concurrency, maxOldSpaceMb, graceMs }: ThreadPoolOptions) {
  return parseOptions(optionsSchema, { configPath, threads, concurrency, maxOldSpaceMb, graceMs }, "threadPool");
}

export function logLevelOf(level: unknown): LogLevel {
  return LOG_LEVELS.find((known) => known === level) ?? "info";
}

/** Threads whose one task is `serve`; piscina starts them, limits their heap and replaces those that end. */
export function createPiscina(o: { minThreads: number; maxThreads: number; maxOldSpaceMb: number | undefined; logger: Logger }): Piscina {
  const piscina = new Piscina({
    // Beside this file, in the sources as in the build.
    filename: new URL(import.meta.url.endsWith(".ts") ? "./thread-entry.ts" : "./thread-entry.js", import.meta.url).href,
    name: "serve",
    minThreads: o.minThreads,
    maxThreads: o.maxThreads,
    maxQueue: o.maxThreads,
    // Its waiting on a lock between tasks would keep a thread's own timers and sockets from running.
    atomics: "disabled",
    recordTiming: false,
    resourceLimits: heapLimits(o.maxOldSpaceMb),
  });
  piscina.on("error", (error: unknown) => o.logger.error({ err: error }, "an idle pool thread failed"));
  return piscina;
}

/** Megabytes: the most of a young generation with which a thread at its limit ended alone in 100 of 100 trials. */
const MAX_YOUNG_MB = 48;

/**
 * When a thread is at its limit, V8 lets it have 16 MB more to come to its end. What survives of a young generation has to
 * fit in there, or V8 ends the whole process instead (seen with Node 24 in one of ten: 64 MB or more, its own default is 192).
 */
function heapLimits(maxOldSpaceMb: number | undefined): { maxOldGenerationSizeMb?: number; maxYoungGenerationSizeMb: number } {
  if (maxOldSpaceMb === undefined) return { maxYoungGenerationSizeMb: MAX_YOUNG_MB };
  const young = Math.min(Math.max(4, Math.floor(maxOldSpaceMb / 4)), MAX_YOUNG_MB);
  return { maxOldGenerationSizeMb: maxOldSpaceMb, maxYoungGenerationSizeMb: young };
}
