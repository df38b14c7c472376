import { type ErrorRecord, toErrorRecord } from "./error-record.ts";
import type { Received } from "./transport.ts";

/** A failure as the executor saw it; plain data, so that it can come from another thread. */
export interface FailureReport {
  readonly error: ErrorRecord;
  /** The error said "never again" (`UnrecoverableError`). */
  readonly unrecoverable?: boolean;
  /** The error said "always again" (`RecoverableError`). */
  readonly recoverable?: boolean;
  /** The error asked its worker to stop (`StopWorkerError`). */
  readonly stopsWorker?: boolean;
  /** The error named its own delay, in milliseconds. */
  readonly retryDelayMs?: number;
}

/** What happened to one attempt. A value; an executor never throws. */
export type Outcome =
  /** `settled`: the handler's transaction has already acknowledged the message. */
  | { readonly kind: "handled"; readonly settled?: boolean }
  /** `handled`: names of the handlers that succeeded all the same. */
  | { readonly kind: "failed"; readonly failure: FailureReport; readonly handled?: readonly string[] }
  | { readonly kind: "timedOut"; readonly timeoutMs: number; readonly handled?: readonly string[] }
  | { readonly kind: "snoozed"; readonly delayMs: number }
  /** The thread or process died. `guilty` is false when neighbours were running in it and nobody knows whose fault it was. */
  | { readonly kind: "crashed"; readonly error: ErrorRecord; readonly guilty: boolean }
  /** Not the message's fault: a shutdown, a lost lease, a cancellation, a neighbour that took the thread down. */
  | { readonly kind: "interrupted"; readonly reason: AbortReason | "neighbour" }
  | { readonly kind: "undecodable"; readonly error: ErrorRecord }
  | { readonly kind: "noHandler"; readonly error: ErrorRecord }
  /** Its time was over before its first attempt began. */
  | { readonly kind: "expired"; readonly error: ErrorRecord }
  /** Written by a newer version of the program: left for workers that know it. */
  | { readonly kind: "tooNew"; readonly error: ErrorRecord };

/** An executor must not throw; if one does all the same, its message must not hang. */
export const failedBy = (error: unknown): Outcome => ({ kind: "failed", failure: { error: toErrorRecord(error) } });

/** Why an attempt is aborted before its time. */
export type AbortReason = "shutdown" | "lease_lost" | "cancelled";

/** Runs handlers: in this process, or in a pool of threads. */
export interface Executor {
  /**
   * Runs one attempt and reports it; without a promise when it has come to its end already. Never rejects.
   *
   * @param signal - Aborts when the result will not count any more (lease lost, shutdown deadline). The executor ends
   *   the attempt within its grace time and reports `interrupted`.
   */
  execute(received: Received, signal: AbortSignal): Outcome | Promise<Outcome>;
  /** Ends this one attempt as an aborted signal would, with the reason `cancelled`. Nothing happens when it is not running. */
  cancel?(received: Received): void;
  /** What was given to it goes out now, and waits for nothing else of this turn that could go with it. */
  flush?(): void;
  /** How many attempts may run at once. */
  readonly size: number;
  /**
   * How many attempts to start before those that need nothing but the processor come to their end: a thousand that are all
   * under way are more than the processor's caches and the young generation hold. Absent: as many as there are, since they
   * run elsewhere, and are best sent there together.
   */
  readonly startTogether?: number | undefined;
  /** Ends what runs and frees everything. Idempotent. */
  close(): Promise<void>;
}
