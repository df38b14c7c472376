/** What a roster keeps track of. */
export interface Listed {
  /** Where it is; -1: in no roster. Only the roster changes it. */
  place: number;
}

/**
 * Who is here, where thousands come and go in a second.
 *
 * A `Map` or a `Set` would keep what has left: with so many comings and goings it gets a new table every few of them, and
 * each table points at the one that took its place. Once one of them is in the old generation, which every full collection
 * sees to, all that follow survive every small collection, and with them all that was ever in them, until the next full one.
 */
export class Roster<T extends Listed> {
  /** As long as it ever had to be, so that nothing is allocated. The first `#size` are taken, in no order. */
  readonly #items: (T | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(item: T): void {
    item.place = this.#size;
    this.#items[this.#size] = item;
    this.#size += 1;
  }

  /** False: it is not here. */
  delete(item: T): boolean {
    const { place } = item;
    if (place < 0 || this.#items[place] !== item) return false;
    this.#size -= 1;
    const last = this.#items[this.#size] as T;
    this.#items[place] = last;
    last.place = place;
    this.#items[this.#size] = undefined;
    item.place = -1;
    return true;
  }

  clear(): void {
    for (const item of this.all()) this.delete(item);
  }

  /** Those who are here now. */
  all(): readonly T[] {
    return this.#items.slice(0, this.#size) as T[];
  }
}
