import type { Clock, Timer } from "./clock.ts";
import type { StopReason } from "./events.ts";

export interface WorkerLimits {
  readonly messageLimit?: number;
  /** Milliseconds. */
  readonly timeLimit?: number;
  /** MB of resident set. */
  readonly memoryLimit?: number;
  readonly failureLimit?: number;
}

const MB = 1_048_576;
// Reading the resident set takes about as long as handling a small message: once a second is enough for a leak.
const MEMORY_CHECK_MS = 1_000;

/** Says when a worker has done enough. Knows nothing of how it stops. */
export class LimitWatch {
  readonly #limits: WorkerLimits;
  readonly #clock: Clock;
  readonly #residentBytes: () => number;
  #timer: Timer | undefined;
  #lastMemoryCheck = Number.NEGATIVE_INFINITY;

  constructor(limits: WorkerLimits, clock: Clock, residentBytes: () => number = () => process.memoryUsage.rss()) {
    this.#limits = limits;
    this.#clock = clock;
    this.#residentBytes = residentBytes;
  }

  /** Calls `expired` once the time is up, also when the worker is idle. */
  start(expired: () => void): void {
    if (this.#limits.timeLimit !== undefined) this.#timer = this.#clock.schedule(this.#limits.timeLimit, expired);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** How many messages may still be started, given how many were processed or are under way. */
  allowance(startedMessages: number): number {
    return this.#limits.messageLimit === undefined ? Number.POSITIVE_INFINITY : Math.max(0, this.#limits.messageLimit - startedMessages);
  }

  reached(processed: number, failed: number): StopReason | undefined {
    const { messageLimit, failureLimit, memoryLimit } = this.#limits;
    if (failureLimit !== undefined && failed >= failureLimit) return "failure_limit";
    if (messageLimit !== undefined && processed >= messageLimit) return "message_limit";
    if (memoryLimit !== undefined && this.#memoryExceeded(memoryLimit)) return "memory_limit";
    return undefined;
  }

  #memoryExceeded(limitMb: number): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#lastMemoryCheck < MEMORY_CHECK_MS) return false;
    this.#lastMemoryCheck = now;
    return this.#residentBytes() > limitMb * MB;
  }
}
