/** Dead letters in one transaction: short enough that nobody waits long for a row of one. */
const LARGEST_STEP = 500;
/** Milliseconds between two steps at a rate: ten commits a second, however slow it is to be. */
const TICK_MS = 100;
/** Milliseconds worth of dead letters that may be caught up with after a slow step. More would be a burst. */
const CATCH_UP_MS = 1_000;

/**
 * Pure. How many dead letters may go now, so that over any longer time they are never more than `rate` a second, and
 * not noticeably fewer.
 */
export class Pace {
  readonly #rate: number | null;
  #credit: number;
  #at: number;

  /** @param now - Monotonic milliseconds. */
  constructor(rate: number | null, now: number) {
    this.#rate = rate;
    this.#credit = 1;
    this.#at = now;
  }

  allowance(now: number): number {
    if (this.#rate === null) return LARGEST_STEP;
    const most = Math.max(1, (this.#rate * CATCH_UP_MS) / 1_000);
    this.#credit = Math.min(most, this.#credit + ((now - this.#at) * this.#rate) / 1_000);
    this.#at = now;
    return Math.min(LARGEST_STEP, Math.floor(this.#credit));
  }

  spend(count: number): void {
    this.#credit -= count;
  }

  /** Milliseconds until the next step. */
  get pauseMs(): number {
    if (this.#rate === null || this.#credit >= LARGEST_STEP) return 0;
    return Math.max(TICK_MS, ((1 - this.#credit) * 1_000) / this.#rate);
  }
}
