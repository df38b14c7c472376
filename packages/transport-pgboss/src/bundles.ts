import type { Receipt } from "@symphony/core";
import { unbundle } from "./bundle-statements.ts";
import type { Database, Statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";

/** Makes rows of messages that are in bundles, for everything that works on rows. */
export class Bundles {
  readonly #database: Database;
  readonly #schema: string;
  readonly #statements = new Map<string, Statement>();

  constructor(database: Database, schema: string) {
    this.#database = database;
    this.#schema = schema;
  }

  /**
   * Afterwards the deliveries of these receipts are active rows, as far as they are current.
   *
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE`
   */
  async open(queue: QueueInfo, receipts: readonly Pick<Receipt, "id" | "fence" | "claim">[]): Promise<void> {
    if (receipts.length === 0) return;
    const sql = this.#statements.get(queue.name) ?? unbundle(this.#schema, queue);
    this.#statements.set(queue.name, sql);
    const values = [receipts.map(({ id }) => id), receipts.map(({ fence }) => fence), receipts.map(({ claim }) => claim ?? null)];
    await this.#database.run(sql, values, "looking for messages in flight");
  }
}
