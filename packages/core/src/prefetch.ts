/**
 * How many messages to hold beyond the free slots: what will be consumed while the next receive is under way, and no
 * more. Slow handlers get 0, so that nothing waits here which another worker could run; handlers of microseconds get
 * whole batches, so that they never wait for the database.
 */
export class Prefetch {
  readonly #fixed: number | undefined;
  readonly #max: number;
  #perMs = 0;
  #receiveMs = 0;
  #lastAt = Number.NaN;
  #lastFinished = 0;

  constructor(setting: number | "auto", max: number) {
    this.#fixed = setting === "auto" ? undefined : setting;
    this.#max = max;
  }

  get size(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    // One and a half round trips: a whole one is spent waiting, the half covers its variation.
    return Math.min(this.#max, Math.floor(this.#perMs * this.#receiveMs * 1.5));
  }

  /** After each receive: how long it took, and how many messages had been finished by then in total. */
  observe(o: { atMs: number; receiveMs: number; finished: number }): void {
    const elapsed = o.atMs - this.#lastAt;
    if (elapsed > 0) this.#perMs = smooth(this.#perMs, (o.finished - this.#lastFinished) / elapsed);
    this.#receiveMs = smooth(this.#receiveMs, o.receiveMs);
    this.#lastAt = o.atMs;
    this.#lastFinished = o.finished;
  }
}

const smooth = (old: number, now: number): number => old * 0.5 + now * 0.5;
