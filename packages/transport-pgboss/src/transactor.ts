import { LeaseLostError, type Receipt, TransportError } from "@symphony/core";
import type { PoolClient, QueryConfig } from "pg";
import type { Bundles } from "./bundles.ts";
import { type Database, type Statement, statement } from "./connection.ts";
import type { Counter } from "./counter.ts";
import { toTransportError } from "./driver-errors.ts";
import type { Notifier } from "./notifier.ts";
import { type QueueDirectory, type QueueInfo, queueNotFound } from "./queues.ts";
import { ofClaim } from "./statements.ts";

export interface TransactorInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly bundles: Bundles;
  readonly counter: Counter;
  readonly notifier: Notifier;
  readonly schema: string;
  /** Milliseconds for one of our own statements around the work; the work's own may take as long as they like. */
  readonly timeoutMs: number;
}

/** One commit for the work of a handler, what it dispatches, and the acknowledgement. */
export class Transactor {
  readonly #o: TransactorInput;

  constructor(input: TransactorInput) {
    this.#o = input;
  }

  async transaction<T>(receipt: Receipt, work: (client: unknown) => Promise<T>): Promise<T> {
    const queue = await this.#o.queues.find(receipt.queue);
    if (queue === undefined) throw queueNotFound(receipt.queue);
    // In a commit of its own: inside of the handler's transaction it would hold up whoever settles messages of the same bundle.
    await this.#o.bundles.open(queue, [receipt]);
    const client = await this.#connect();
    let broken: Error | undefined;
    // A client that is checked out has no listener of the pool: a lost connection would end the process.
    const onError = (error: Error): void => {
      broken ??= error;
    };
    client.on("error", onError);
    try {
      const result = await this.#run(client, queue, receipt, work);
      this.#o.counter.add(queue.name, "handled", 1);
      // It may have let the next one of its partition key in.
      if (queue.keyed) this.#o.notifier.notify([queue.name]);
      return result;
    } catch (error) {
      broken ??= await this.#rollback(client);
      throw error;
    } finally {
      client.removeListener("error", onError);
      // A connection in an unknown state is closed; the server rolls back what is open on it.
      client.release(broken);
    }
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#o.database.transactions.connect();
    } catch (error) {
      throw toTransportError(error, "beginning a transaction");
    }
  }

  async #run<T>(client: PoolClient, queue: QueueInfo, receipt: Receipt, work: (client: unknown) => Promise<T>): Promise<T> {
    await this.#control(client, "BEGIN");
    const result = await work(client);
    if (client.getTransactionStatus() === "I")
      throw new TransportError(
        "TRANSPORT_FAILED",
        "the work ended the transaction that it was given: its effects and the acknowledgement are two commits",
      );
    if (!(await this.#acknowledge(client, queue, receipt))) throw new LeaseLostError(receipt.id);
    await this.#control(client, "COMMIT");
    return result;
  }

  /** Waits for another settlement of the same delivery, if one is under way, and then finds nothing. */
  async #acknowledge(client: PoolClient, queue: QueueInfo, receipt: Receipt): Promise<boolean> {
    const values = [queue.name, receipt.id, receipt.fence, receipt.claim ?? null];
    for (const sql of acknowledgeOne(this.#o.schema, queue)) {
      try {
        if ((await client.query(this.#bounded(this.#o.database.query({ sql, values })))).rowCount === 1) return true;
      } catch (error) {
        throw toTransportError(error, "acknowledging a message in its transaction");
      }
    }
    return false;
  }

  async #control(client: PoolClient, text: "BEGIN" | "COMMIT"): Promise<void> {
    try {
      const { command } = await client.query(this.#bounded({ text }));
      // COMMIT of a transaction in which something failed is answered with ROLLBACK.
      if (command !== text) throw new TransportError("TRANSPORT_FAILED", `${text} was answered with ${command}: nothing was stored`);
    } catch (error) {
      throw toTransportError(error, text === "BEGIN" ? "beginning a transaction" : "committing a transaction");
    }
  }

  /** A statement of ours, which must not wait for ever on a dead connection. The driver knows it; its types do not. */
  #bounded(config: QueryConfig): QueryConfig {
    return Object.assign(config, { query_timeout: this.#o.timeoutMs });
  }

  /** Resolves with the error if not even that was possible. */
  async #rollback(client: PoolClient): Promise<Error | undefined> {
    try {
      await client.query(this.#bounded({ text: "ROLLBACK" }));
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** Delete, or keep when there is an idempotency key; exactly one of the two can find the row. */
function acknowledgeOne(schema: string, queue: QueueInfo): readonly [Statement, Statement] {
  const table = `${schema}.${queue.table}`;
  const current = `name = $1 AND id = $2::uuid AND retry_count = $3::int AND state::text = 'active' AND ${ofClaim("t", "$4::bigint")}`;
  return [
    statement("acknowledge_one", `DELETE FROM ${table} t WHERE ${current} AND singleton_key IS NULL`),
    statement(
      "keep_one",
      `UPDATE ${table} t SET state = 'completed', completed_on = now(), heartbeat_on = NULL, output = NULL WHERE ${current} AND singleton_key IS NOT NULL`,
    ),
  ];
}
