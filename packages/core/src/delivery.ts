import type { ErrorRecord } from "./error-record.ts";

/** Names one delivery. Plain data, so that it can cross threads. `fence` rises with every delivery of the same id. */
export interface Receipt {
  readonly id: string;
  readonly queue: string;
  readonly fence: number;
  /**
   * The claim that it is of, where the transport tells: an outcome then counts for a delivery of that claim alone. A store
   * that has lost its last commits, as after a failover to a replica that lagged behind, gives the same fence out again.
   */
  readonly claim?: number;
}

/** Counters of a message's life so far. Only `failures` uses up `maxRetries`. */
export interface Tries {
  /** A handler threw or timed out. */
  readonly failures: number;
  /** The thread or process died with it. */
  readonly crashes: number;
  /** A shutdown or a lost lease cut it short. */
  readonly interruptions: number;
}

export const NO_TRIES: Tries = Object.freeze({ failures: 0, crashes: 0, interruptions: 0 });

/** One attempt that did not succeed. The newest ten are kept. */
export interface AttemptRecord {
  /** 1-based. */
  readonly attempt: number;
  /** RFC 3339. */
  readonly at: string;
  readonly workerId: string;
  readonly error: ErrorRecord;
  /** `traceparent` of its span, when it was traced. */
  readonly trace?: string;
}
