import type { Clock } from "./clock.ts";
import type { StopReason, WorkerHealth, WorkerStats } from "./events.ts";

const MB = 1_048_576;

/** Attempts that need nothing but the processor, before others have their turn. Measured: 16 to 128 do equally well. */
export const START_TOGETHER = 32;

/** Once all promises that are settled by now have had their effects, and those that these settle; before the next event. */
export const afterMicrotasks = (go: () => void): void => queueMicrotask(() => process.nextTick(go));

/** A promise that can be opened and closed again: `wait` resolves at once while it is open. */
export class Gate {
  #open = false;
  #waiting: (() => void)[] = [];

  open(): void {
    this.#open = true;
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  close(): void {
    this.#open = false;
  }

  wait(): Promise<void> {
    return this.#open ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** What wake-ups have said since the last receive began. */
export class WakeUps {
  readonly #named = new Set<string>();
  #unnamed = false;

  /** @param queues - Those that have something; empty: not known. */
  add(queues: readonly string[]): void {
    if (queues.length === 0) this.#unnamed = true;
    for (const queue of queues) this.#named.add(queue);
  }

  get any(): boolean {
    return this.#unnamed || this.#named.size > 0;
  }

  /** The queues that they named, and forgets them; empty unless each of them named some. */
  take(): readonly string[] {
    const queues = this.#unnamed ? [] : [...this.#named];
    this.#unnamed = false;
    this.#named.clear();
    return queues;
  }
}

/** The messages of one receive, until the last of them is decided. */
export class Batch {
  readonly #size: number;
  readonly #startedAt: number;
  #left: number;
  #failed = 0;

  constructor(size: number, startedAt: number) {
    this.#size = size;
    this.#left = size;
    this.#startedAt = startedAt;
  }

  /** True for the last one. */
  done(failed: boolean): boolean {
    if (failed) this.#failed += 1;
    this.#left -= 1;
    return this.#left === 0;
  }

  summary(now: number): { size: number; succeeded: number; failed: number; durationMs: number } {
    return { size: this.#size, succeeded: this.#size - this.#failed, failed: this.#failed, durationMs: now - this.#startedAt };
  }
}

/** What a worker has done so far. */
export class WorkerCounters {
  readonly #clock: Clock;
  #startedAt: number | undefined;
  #lastPollAt: number | undefined;
  #lastPollTick: number | undefined;
  #totalMs = 0;
  processed = 0;
  failed = 0;
  batches = 0;
  leaseLost = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): void {
    this.#startedAt = this.#clock.monotonic();
  }

  polled(): void {
    this.#lastPollAt = this.#clock.now();
    this.#lastPollTick = this.#clock.monotonic();
  }

  /** Milliseconds since a receive last succeeded; undefined before the first one. */
  get pollAgeMs(): number | undefined {
    return this.#lastPollTick === undefined ? undefined : this.#clock.monotonic() - this.#lastPollTick;
  }

  count(failed: boolean, durationMs: number): void {
    this.processed += 1;
    if (failed) this.failed += 1;
    this.#totalMs += durationMs;
  }

  get uptime(): number {
    return this.#startedAt === undefined ? 0 : Math.round(this.#clock.monotonic() - this.#startedAt);
  }

  health(o: { running: boolean; processing: number; queueDepth: number; lastError: string | null }): WorkerHealth {
    return {
      ...o,
      uptime: this.uptime,
      memoryUsage: Math.round(process.memoryUsage.rss() / MB),
      messagesProcessed: this.processed,
      messagesSucceeded: this.processed - this.failed,
      messagesFailed: this.failed,
      lastPollAt: this.#lastPollAt === undefined ? null : new Date(this.#lastPollAt).toISOString(),
    };
  }

  stats(currentQueueDepth: number, stopReason: StopReason | null): WorkerStats {
    return {
      totalProcessed: this.processed,
      totalSucceeded: this.processed - this.failed,
      totalFailed: this.failed,
      averageProcessingTime: this.processed === 0 ? 0 : this.#totalMs / this.processed,
      currentQueueDepth,
      batches: this.batches,
      uptime: this.uptime,
      stopReason,
    };
  }
}
