/**
 * Milliseconds for which the messages held beyond the slots should last at least. Twenty are little to wait for what another
 * worker could run, and enough for a receive to bring dozens of messages where handlers take as long as a request does.
 */
const SPAN_MS = 20;

/**
 * How many messages to hold beyond the free slots: what will be consumed while the next receive is under way, or in
 * `SPAN_MS`, and no more. Slow handlers get 0, so that nothing waits here which another worker could run; handlers of
 * microseconds get whole batches, so that they never wait for the database.
 */
export class Prefetch {
  readonly #fixed: number | undefined;
  readonly #max: number;
  #perMs = Number.NaN;
  #receiveMs = Number.NaN;
  #lastAt = Number.NaN;
  #lastFinished = 0;

  constructor(setting: number | "auto", max: number) {
    this.#fixed = setting === "auto" ? undefined : setting;
    this.#max = max;
  }

  get size(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    if (Number.isNaN(this.#perMs)) return 0;
    // One and a half round trips: a whole one is spent waiting, the half covers its variation.
    return Math.min(this.#max, Math.floor(this.#perMs * Math.max(this.#receiveMs * 1.5, SPAN_MS)));
  }

  /**
   * After each receive: how long it took, and how many messages had been finished by then in total.
   *
   * @param o.wasIdle - Nothing was held when it began: of what was finished, nothing was during its time.
   */
  observe(o: { atMs: number; receiveMs: number; finished: number; wasIdle?: boolean }): void {
    const elapsed = o.atMs - this.#lastAt - (o.wasIdle === true ? o.receiveMs : 0);
    if (elapsed > 0) this.#perMs = smooth(this.#perMs, (o.finished - this.#lastFinished) / elapsed);
    this.#receiveMs = smooth(this.#receiveMs, o.receiveMs);
    this.#lastAt = o.atMs;
    this.#lastFinished = o.finished;
  }
}

const smooth = (old: number, now: number): number => (Number.isNaN(old) ? now : old * 0.5 + now * 0.5);
