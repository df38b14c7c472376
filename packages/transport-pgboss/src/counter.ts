import type { Logger, Runtime } from "@symphony/core";
import type { Database, Statement } from "./connection.ts";
import { addCounts } from "./statements.ts";

export interface Counts {
  handled: number;
  failed: number;
  retried: number;
}

/** One write per process and second, whatever the throughput: counting must not cost a row per message. */
const FLUSH_EVERY_MS = 1_000;

/** Counts what became of messages, for the status: rows that are gone cannot be counted later. */
export class Counter {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #add: Statement;
  #counts = new Map<string, Counts>();
  #scheduled = false;
  #flushing: Promise<void> | undefined;

  constructor(database: Database, runtime: Runtime, logger: Logger, schema: string) {
    this.#database = database;
    this.#runtime = runtime;
    this.#logger = logger;
    this.#add = addCounts(schema);
  }

  add(queue: string, what: keyof Counts, by: number): void {
    if (by === 0) return;
    const counts = this.#counts.get(queue) ?? { handled: 0, failed: 0, retried: 0 };
    counts[what] += by;
    this.#counts.set(queue, counts);
    this.#schedule();
  }

  /** Writes what has been counted; at most once more after a failure, and then it is lost. */
  async close(): Promise<void> {
    await this.#flushing;
    await this.#flush();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#runtime.clock.schedule(
      FLUSH_EVERY_MS,
      () => {
        this.#scheduled = false;
        this.#flushing = this.#flush().finally(() => {
          this.#flushing = undefined;
          if (this.#counts.size > 0) this.#schedule();
        });
      },
      { unref: true },
    );
  }

  async #flush(): Promise<void> {
    if (this.#counts.size === 0 || this.#database.closed) return;
    const counts = this.#counts;
    this.#counts = new Map();
    try {
      const rows = [...counts].map(([queue, each]) => ({ queue, ...each }));
      await this.#database.run(this.#add, [JSON.stringify(rows)], "counting messages");
    } catch (error) {
      this.#logger.debug({ err: error }, "counters could not be written; trying again");
      for (const [queue, each] of counts) {
        const since = this.#counts.get(queue) ?? { handled: 0, failed: 0, retried: 0 };
        this.#counts.set(queue, {
          handled: since.handled + each.handled,
          failed: since.failed + each.failed,
          retried: since.retried + each.retried,
        });
      }
    }
  }
}
