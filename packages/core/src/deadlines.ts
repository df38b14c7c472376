import type { Clock, Timer } from "./clock.ts";

/**
 * One timer for many deadlines: the earliest. Thousands of attempts begin and end in a second, and hardly any comes to its
 * deadline; a timer for each would cost more than the rest of its bookkeeping. It outlasts those that it was made for
 * by a moment: those that begin then have a later deadline, as a rule, and need no other one.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #onDue: (now: number) => number;
  #timer: Timer | undefined;
  #at = Number.POSITIVE_INFINITY;
  #isNeeded = false;
  #isEnding = false;

  /** @param onDue - Deals with what is due at `now` (monotonic milliseconds); returns the next deadline, infinite when there is none. */
  constructor(clock: Clock, onDue: (now: number) => number) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Something has a deadline at `at`; it may be moved to later without a word, or end. */
  watch(at: number): void {
    this.#isNeeded = true;
    if (at >= this.#at) return;
    this.#timer?.cancel();
    this.#at = at;
    this.#timer = this.#clock.schedule(Math.max(0, at - this.#clock.monotonic()), () => {
      this.#at = Number.POSITIVE_INFINITY;
      this.watch(this.#onDue(this.#clock.monotonic()));
    });
  }

  /** Nothing has one now: the timer ends, and keeps no program alive, unless something gets one before the next event. */
  release(): void {
    this.#isNeeded = false;
    if (this.#isEnding) return;
    this.#isEnding = true;
    setImmediate(() => {
      this.#isEnding = false;
      if (!this.#isNeeded) this.clear();
    });
  }

  /** Nothing will have one any more. */
  clear(): void {
    this.#timer?.cancel();
    this.#at = Number.POSITIVE_INFINITY;
  }
}
