/** A list that keeps its newest `limit` items. */
export class Newest<T> {
  readonly #limit: number;
  #items: T[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(item: T): void {
    if (this.#limit === 0) return;
    this.#items.push(item);
    // Cut in halves, not one by one: moving the whole list for each item would cost more than keeping it twice.
    if (this.#items.length >= this.#limit * 2) this.#items = this.#items.slice(-this.#limit);
  }

  /** Oldest first. */
  all(): readonly T[] {
    return this.#limit === 0 ? [] : this.#items.slice(-this.#limit);
  }

  clear(): void {
    this.#items = [];
  }
}
