import type { Runtime } from "@symphony/core";
import { readyStatement } from "./claim-statement.ts";
import type { Database, Statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";

/**
 * Milliseconds for which the last answer is believed, as far as claims and notifications do not know better. Asking
 * costs some 80 us for each queue; so a worker that is busy all the time spends less than a tenth of it on two hundred.
 */
const BELIEVED_MS = 250;

export interface Found {
  readonly queues: ReadonlySet<QueueInfo>;
  /** Asked a moment ago, and not now. */
  readonly isOld: boolean;
}

/** Which of many queues have something ready: one statement, where as many claims would be as many round trips. */
export class ReadyQueues {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #sql: Statement;
  /** All that were asked about, by name. */
  #asked: ReadonlyMap<string, QueueInfo> = new Map();
  #ready = new Set<QueueInfo>();
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(database: Database, runtime: Runtime, schema: string) {
    this.#database = database;
    this.#runtime = runtime;
    this.#sql = readyStatement(schema);
  }

  async among(queues: readonly QueueInfo[]): Promise<Found> {
    const isOld = this.#runtime.clock.monotonic() - this.#askedAt < BELIEVED_MS && this.#areAsked(queues) && this.#ready.size > 0;
    if (!isOld) await this.#ask(queues);
    return { queues: this.#ready, isOld };
  }

  async #ask(queues: readonly QueueInfo[]): Promise<void> {
    // Before: what is notified while we ask is added to what we hear.
    const woken = new Set<QueueInfo>();
    [this.#asked, this.#ready] = [new Map(queues.map((queue) => [queue.name, queue])), woken];
    this.#askedAt = this.#runtime.clock.monotonic();
    const rows = await this.#database.run(this.#sql, [queues.map(({ name }) => name)], "looking for messages");
    for (const row of rows) woken.add(queues[(row[0] as number) - 1] as QueueInfo);
  }

  /** A claim has taken all that was ready there. */
  emptied(queues: readonly QueueInfo[]): void {
    for (const queue of queues) this.#ready.delete(queue);
  }

  /** A notification says that these have something. */
  woken(names: readonly string[]): void {
    for (const name of names) {
      const queue = this.#asked.get(name);
      if (queue !== undefined) this.#ready.add(queue);
    }
  }

  #areAsked(queues: readonly QueueInfo[]): boolean {
    return queues.length === this.#asked.size && queues.every((queue) => this.#asked.get(queue.name) === queue);
  }
}
