import type { LedgerBuffers } from "./ledger.ts";
import type { Work } from "./work.ts";

/** What the pool threads, which load `ours.config.ts` too, share with the process. */
export interface BenchEnvironment {
  readonly dsn: string;
  readonly execution: "inline" | "thread";
  readonly queues: number;
  readonly work: Work;
  readonly ledger: LedgerBuffers;
  readonly options?: Readonly<Record<string, unknown>>;
  /** Counts what this thread posts to others, where somebody wants to know. */
  readonly posts?: SharedArrayBuffer;
}

export const ENVIRONMENT_KEY = "symphony-bench";
export const QUEUE = "bench";

/** The first is named like the only one. */
export const queueName = (index: number): string => (index === 0 ? QUEUE : `${QUEUE}-${index}`);
