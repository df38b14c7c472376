import { createHash } from "node:crypto";
import type { Logger, Runtime } from "@symphony/core";
import type { AdaptedTransaction } from "./caller-transaction.ts";
import type { Database, Queryable } from "./connection.ts";
import { NOTIFY, NOTIFY_IN_TRANSACTION } from "./statements.ts";

/** At most one NOTIFY in so many milliseconds: PostgreSQL lets the commits of notifying transactions pass one by one. */
const NOTIFY_EVERY_MS = 5;
/** PostgreSQL allows payloads under 8000 bytes. */
const MAX_PAYLOAD_BYTES = 7_000;
const SEPARATOR = ",";

/** The channel of a schema; listeners of other programs on the same database never hear it. */
export const channelOf = (schema: string): string => `symphony_${createHash("sha224").update(schema).digest("hex").slice(0, 24)}`;

export const queuesIn = (payload: string): string[] => payload.split(SEPARATOR).filter((queue) => queue !== "");

/** What tells listeners that queues have something to do. */
export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

/** Says which queues have something to do: coalesced, with or after the commit, and no message waits for it. */
export class Notifier {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #channel: string;
  readonly #enabled: boolean;
  readonly #queues = new Set<string>();
  readonly #afterCommit = new WeakMap<object, Set<string>>();
  #sending: Promise<void> | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #scheduled = false;

  constructor(input: { database: Database; runtime: Runtime; logger: Logger; schema: string; enabled: boolean }) {
    this.#database = input.database;
    this.#runtime = input.runtime;
    this.#logger = input.logger;
    this.#channel = channelOf(input.schema);
    this.#enabled = input.enabled;
  }

  /** Returns at once. A notification that is lost costs a poll interval, no message. In an audited action it waits for the commit. */
  notify(queues: Iterable<string>): void {
    if (!this.#enabled) return;
    const { joined } = this.#database;
    if (joined === undefined) this.#add(queues);
    else this.afterCommit(joined, [...queues]);
  }

  /**
   * The notification that the caller is to send with the statement that gives these queues something to do, or right behind it, so that
   * listeners hear of it a round trip earlier; undefined: call `notify` when that one is done.
   */
  due(queues: readonly string[]): Notification | undefined {
    if (!this.#enabled || queues.length === 0 || this.#scheduled || this.#sending !== undefined) return undefined;
    const now = this.#runtime.clock.monotonic();
    const [payload, ...more] = payloads(queues);
    if (now - this.#lastAt < NOTIFY_EVERY_MS || payload === undefined || more.length > 0) return undefined;
    this.#lastAt = now;
    return { channel: this.#channel, payload };
  }

  #add(queues: Iterable<string>): void {
    for (const queue of queues) this.#queues.add(queue);
    this.#schedule();
  }

  /** Notifies with the commit of a transaction whose end nobody tells us: PostgreSQL keeps the word back until then. */
  async within(transaction: AdaptedTransaction, queues: readonly string[]): Promise<void> {
    if (!this.#enabled) return;
    for (const payload of payloads(queues))
      await this.#database.run(NOTIFY_IN_TRANSACTION, [this.#channel, payload], "waking workers", transaction);
  }

  /** Notifies when the transaction of `client` has ended: before that nobody would find anything. */
  afterCommit(client: Queryable, queues: readonly string[]): void {
    if (!this.#enabled) return;
    const source = client as Partial<TransactionClient>;
    if (source.getTransactionStatus?.() === "I" || source.connection === undefined) {
      this.#add(queues);
      return;
    }
    const waiting = this.#afterCommit.get(client);
    if (waiting !== undefined) {
      for (const queue of queues) waiting.add(queue);
      return;
    }
    const all = new Set(queues);
    this.#afterCommit.set(client, all);
    const { connection } = source;
    const onReady = (message: { status?: string }): void => {
      if (message.status !== "I") return;
      connection.removeListener("readyForQuery", onReady);
      this.#afterCommit.delete(client);
      this.#add(all);
    };
    connection.on("readyForQuery", onReady);
  }

  /** Sends what is left. */
  async close(): Promise<void> {
    await this.#sending;
    await this.#send();
  }

  #schedule(): void {
    if (this.#queues.size === 0 || this.#scheduled || this.#sending !== undefined) return;
    const waitMs = this.#lastAt + NOTIFY_EVERY_MS - this.#runtime.clock.monotonic();
    if (waitMs <= 0) {
      this.#begin();
      return;
    }
    this.#scheduled = true;
    this.#runtime.clock.schedule(waitMs, () => {
      this.#scheduled = false;
      this.#begin();
    });
  }

  #begin(): void {
    if (this.#sending !== undefined) return;
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined;
      this.#schedule();
    });
  }

  async #send(): Promise<void> {
    if (this.#queues.size === 0 || this.#database.closed) return;
    const queues = [...this.#queues];
    this.#queues.clear();
    this.#lastAt = this.#runtime.clock.monotonic();
    try {
      for (const payload of payloads(queues)) await this.#database.run(NOTIFY, [this.#channel, payload], "waking workers");
    } catch (error) {
      this.#logger.debug({ err: error, queues }, "workers could not be woken; they will find the messages by polling");
    }
  }
}

/** What a client of pg has beyond `query`, and tells us when its transaction is over. */
interface TransactionClient {
  readonly connection: {
    on(event: "readyForQuery", listener: (message: { status?: string }) => void): void;
    removeListener(event: "readyForQuery", listener: (message: { status?: string }) => void): void;
  };
  getTransactionStatus(): string | null;
}

function payloads(queues: readonly string[]): string[] {
  const all: string[] = [];
  let payload = "";
  for (const queue of queues) {
    if (payload !== "" && payload.length + queue.length + 1 > MAX_PAYLOAD_BYTES) {
      all.push(payload);
      payload = "";
    }
    payload = payload === "" ? queue : payload + SEPARATOR + queue;
  }
  if (payload !== "") all.push(payload);
  return all;
}
