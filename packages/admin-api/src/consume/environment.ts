import { integer, type OptionParser, OptionsError, parseQueueSelection } from "@symphony/core";
import type { ConsumeLimits } from "./consumers.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Milliseconds: what a caller with a timeout of 60 s can wait for, with time left to wind down. */
export const DEFAULT_TIME_LIMIT_MS = 50_000;
export const DEFAULT_BATCH_SIZE = 10;
export const DEFAULT_MAX_CONCURRENCY = 5;

const positive = integer({ min: 1 });

/**
 * Limits of the cron endpoint from `SYMPHONY_WORKER_…`, with the meaning and range they have for `consume`.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the variable.
 */
export function limitsFromEnvironment(environment: Environment): ConsumeLimits {
  const read = (suffix: string, parser: OptionParser<number>): number | undefined => {
    const variable = `SYMPHONY_WORKER_${suffix}`;
    const text = environment[variable];
    if (text === undefined || text === "") return undefined;
    if (!/^\d+$/.test(text)) throw new OptionsError(variable, text, "must be a whole number");
    return parser.parse(Number(text), variable);
  };
  const queues = environment.SYMPHONY_WORKER_QUEUES;
  return {
    batchSize: read("BATCH_SIZE", integer({ min: 1, max: 10_000 })) ?? DEFAULT_BATCH_SIZE,
    maxConcurrency: read("MAX_CONCURRENCY", integer({ min: 1, max: 10_000 })) ?? DEFAULT_MAX_CONCURRENCY,
    timeLimit: read("TIME_LIMIT", positive) ?? DEFAULT_TIME_LIMIT_MS,
    messageLimit: read("MESSAGE_LIMIT", positive),
    memoryLimit: megabytes(environment),
    failureLimit: read("FAILURE_LIMIT", positive),
    ...(queues === undefined || queues === "" ? {} : { queues: parseQueueSelection(queues, "SYMPHONY_WORKER_QUEUES") }),
  };
}

/** A number of MB, or one with M or G behind it, as `consume` takes it. */
function megabytes(environment: Environment): number | undefined {
  const variable = "SYMPHONY_WORKER_MEMORY_LIMIT";
  const text = environment[variable];
  if (text === undefined || text === "") return undefined;
  const [, digits, unit = ""] = /^(\d+)([MG]?)B?$/i.exec(text.trim()) ?? [];
  if (digits === undefined) throw new OptionsError(variable, text, "must be a number of MB, or one with M or G (512M)");
  return positive.parse(Number(digits) * (unit.toUpperCase() === "G" ? 1_024 : 1), variable);
}
