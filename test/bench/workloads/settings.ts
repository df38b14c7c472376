import type { Settings } from "../contestant.ts";

/** Ours for throughput, where a workload compares ours with ours. */
export const INLINE: Settings = { execution: "inline", threads: 1, worker: { batchSize: 1_000, maxConcurrency: 1_000 } };

/** Ours as somebody gets it who sets nothing: handlers in threads, claims as durable as everything else. */
export const DEFAULTS: Settings = { execution: "thread", threads: 2, worker: {}, options: { synchronousCommit: "on" } };
export const INLINE_DEFAULTS: Settings = { ...DEFAULTS, execution: "inline" };

/** graphile-worker with the batching of its performance page. */
export const GRAPHILE: Settings = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
export const PGBOSS: Settings = {
  work: { batchSize: 1_000, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, includeMetadata: false },
};
