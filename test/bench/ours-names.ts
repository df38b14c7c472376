/** What the pool threads, which load `ours.config.ts` too, share with the process. */
export interface BenchEnvironment {
  readonly dsn: string;
  readonly execution: "inline" | "thread";
  /** The number of runs in all, then the number of runs of each message. */
  readonly runs: SharedArrayBuffer;
  readonly count: number;
}

export const ENVIRONMENT_KEY = "symphony-bench";
export const QUEUE = "bench";
