/** What a strategy sees of a failed attempt. */
export interface FailedAttempt {
  /** 1-based: 1 after the first attempt failed. */
  readonly attempt: number;
  readonly type: string;
  readonly queue: string;
  /** What the handler threw. In a pool thread: a plain copy with name, message, stack, code. */
  readonly error: { readonly name: string; readonly message: string; readonly code?: string };
}

/** Decides whether and when a failed message is tried again. Pure: no I/O, no clock; `random` is given. */
export interface RetryStrategy {
  isRetryable(failed: FailedAttempt): boolean;
  /** Milliseconds until the next attempt, 0 or more. */
  getDelayMs(failed: FailedAttempt, random: () => number): number;
  /** Attempts after the first; what handlers see as `maxRetries`. */
  readonly maxRetries: number;
}
