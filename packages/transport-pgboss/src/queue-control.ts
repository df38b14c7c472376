import { CountMismatchError, type Pausable, type Pause, type PauseTarget, type Purgeable, type PurgeOptions } from "@symphony/core";
import type { Database } from "./connection.ts";
import type { Notifier } from "./notifier.ts";
import { addPause, countWaiting, letGo, removePause, removeWaiting } from "./pause-statements.ts";
import type { Pauses } from "./pauses.ts";
import { type QueueDirectory, type QueueInfo, queueNotFound } from "./queues.ts";
import { removing } from "./trash.ts";

/** As an int4 goes. */
const MOST = 2 ** 31 - 1;

export interface QueueControlInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly pauses: Pauses;
  readonly notifier: Notifier;
  readonly schema: string;
}

/** What an operator does to a queue: pauses, resumes, purges. */
export class QueueControl implements Pausable, Purgeable {
  readonly #input: QueueControlInput;

  constructor(input: QueueControlInput) {
    this.#input = input;
  }

  async pauseQueue({ queue, type = "" }: PauseTarget, by?: string): Promise<void> {
    const { database, pauses, schema } = this.#input;
    await this.#queue(queue);
    await database.run(addPause(schema), [queue, type, by ?? null], "pausing a queue");
    await pauses.load();
  }

  async resumeQueue({ queue: name, type = "" }: PauseTarget): Promise<boolean> {
    const { database, pauses, notifier, schema } = this.#input;
    const queue = await this.#queue(name);
    const removed = await database.run(removePause(schema), [name, type], "resuming a queue");
    await pauses.load();
    if (type !== "") await this.#letGo(queue);
    notifier.notify([name]);
    return removed.length > 0;
  }

  listPauses(): Promise<readonly Pause[]> {
    return this.#input.pauses.load();
  }

  async countPurgeable({ queue: name, type }: PauseTarget): Promise<number> {
    return this.#count(await this.#queue(name), type);
  }

  async purgeQueue(name: string, options: PurgeOptions = {}): Promise<{ readonly removed: number }> {
    const { type, expectedCount } = options;
    const { database, schema } = this.#input;
    const queue = await this.#queue(name);
    if (expectedCount !== undefined) {
      const count = await this.#count(queue, type);
      if (count !== expectedCount) throw new CountMismatchError(name, expectedCount, count);
    }
    let left = expectedCount ?? Number.POSITIVE_INFINITY;
    let removed = 0;
    while (left > 0) {
      const { text, values } = removing(database, schema, queue.table, removeWaiting(schema, queue), [type ?? null, Math.min(left, MOST)]);
      const { length } = await database.run({ name: "", text }, values, "purging a queue");
      if (length === 0) break;
      removed += length;
      left -= length;
    }
    return { removed };
  }

  /** Lets go whatever is held back without a pause: of a resume that did not come to its end. */
  async tidy(queue: QueueInfo): Promise<void> {
    if ((await this.#letGo(queue)) > 0) this.#input.notifier.notify([queue.name]);
  }

  async #letGo(queue: QueueInfo): Promise<number> {
    const sql = letGo(this.#input.schema, queue);
    for (let total = 0; ; ) {
      const freed = (await this.#input.database.run(sql, [], "letting messages go"))[0]?.[0] as number;
      total += freed;
      if (freed === 0) return total;
    }
  }

  async #count(queue: QueueInfo, type: string | undefined): Promise<number> {
    const rows = await this.#input.database.run(countWaiting(this.#input.schema, queue), [type ?? null], "counting messages");
    return rows[0]?.[0] as number;
  }

  async #queue(name: string): Promise<QueueInfo> {
    const { queues } = this.#input;
    const queue = await queues.get(name);
    if (queue === (await queues.deadLetters())) throw queueNotFound(name);
    return queue;
  }
}
