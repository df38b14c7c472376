import { afterMicrotasks, type Runtime } from "@symphony/core";

export interface CoalescerOptions {
  readonly maxItems: number;
  /** Sum of `sizeOf`. */
  readonly maxSize: number;
  /** Milliseconds that an item waits for a flush that is on its way before another begins beside it. */
  readonly maxWaitMs: number;
  /** Flushes at the same time, at most. */
  readonly maxFlushes: number;
}

interface Ticket<Result> {
  readonly results: Result[];
  missing: number;
  resolve(results: Result[]): void;
  reject(error: unknown): void;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly position: number;
  readonly ticket: Ticket<Result>;
}

/**
 * Makes few large operations of many small ones.
 *
 * When nothing is under way a flush begins at the end of the current event; while one is, items gather for the next. Every
 * caller's promise settles with the results of its own items.
 */
export class Coalescer<Item, Result> {
  readonly #flush: (items: readonly Item[]) => Promise<readonly Result[]>;
  readonly #sizeOf: (item: Item) => number;
  readonly #options: CoalescerOptions;
  readonly #runtime: Runtime;
  #waiting: Waiting<Item, Result>[] = [];
  #flushing = 0;
  #scheduled = false;
  #overdue = false;
  #idle: (() => void)[] = [];

  constructor(
    flush: (items: readonly Item[]) => Promise<readonly Result[]>,
    sizeOf: (item: Item) => number,
    options: CoalescerOptions,
    runtime: Runtime,
  ) {
    this.#flush = flush;
    this.#sizeOf = sizeOf;
    this.#options = options;
    this.#runtime = runtime;
  }

  add(items: readonly Item[]): Promise<Result[]> {
    if (items.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const ticket: Ticket<Result> = { results: new Array<Result>(items.length), missing: items.length, resolve, reject };
      items.forEach((item, position) => this.#waiting.push({ item, position, ticket }));
      this.#schedule();
    });
  }

  /** Resolves when everything that was added has been flushed. */
  async drained(): Promise<void> {
    if (this.#waiting.length === 0 && this.#flushing === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#flushing === 0) {
      if (this.#scheduled) return;
      this.#scheduled = true;
      // Calls made side by side belong together. What other events bring meanwhile gathers behind this flush.
      afterMicrotasks(this.#startScheduled);
      return;
    }
    if (this.#waiting.length >= this.#options.maxItems) this.#start();
    else if (!this.#overdue) {
      this.#overdue = true;
      this.#runtime.clock.schedule(this.#options.maxWaitMs, () => {
        this.#overdue = false;
        this.#start();
      });
    }
  }

  readonly #startScheduled = (): void => {
    this.#scheduled = false;
    this.#start();
  };

  #start(): void {
    while (this.#waiting.length > 0 && this.#flushing < this.#options.maxFlushes) {
      const batch = this.#take();
      this.#flushing += 1;
      void this.#run(batch).finally(() => {
        this.#flushing -= 1;
        if (this.#waiting.length > 0) this.#start();
        else if (this.#flushing === 0) for (const done of this.#idle.splice(0)) done();
      });
    }
  }

  #take(): Waiting<Item, Result>[] {
    let size = 0;
    let count = 0;
    for (const { item } of this.#waiting) {
      size += this.#sizeOf(item);
      if (count > 0 && (count >= this.#options.maxItems || size > this.#options.maxSize)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #run(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#flush(batch.map((each) => each.item));
      for (const [i, { ticket, position }] of batch.entries()) {
        ticket.results[position] = results[i] as Result;
        ticket.missing -= 1;
        if (ticket.missing === 0) ticket.resolve(ticket.results);
      }
    } catch (error) {
      // One answer per caller: rejecting again, or resolving after it, does nothing.
      for (const { ticket } of batch) ticket.reject(error);
    }
  }
}
