import {
  DEFAULT_QUEUE,
  type Envelope,
  MessengerError,
  type Runtime,
  type SendOptions,
  type SendResult,
  type Serializer,
  stamps,
  TransportError,
} from "@symphony/core";
import { AdaptedTransaction, toQueryable } from "./caller-transaction.ts";
import { Coalescer } from "./coalescer.ts";
import type { Queryable } from "./connection.ts";
import { isRowFault, toTransportError } from "./driver-errors.ts";
import { type RowStore, storeRows } from "./inserter.ts";
import type { Notification, Notifier } from "./notifier.ts";
import type { PgBossOptions } from "./options.ts";
import type { QueueMaker } from "./queue-maker.ts";
import { isKeyed, type OutgoingRow, toRow, UUID_PATTERN } from "./row-codec.ts";
import { sending } from "./row-store.ts";

/** Bytes of records in one insert: as much as a socket moves in some milliseconds; a row beyond it goes alone. */
const MAX_FLUSH_BYTES = 4 * 1024 * 1024;
/** id, name, numbers and quotes around a record. */
const ROW_OVERHEAD_BYTES = 150;

export interface SenderInput {
  readonly transport: string;
  readonly options: PgBossOptions;
  readonly serializer: Serializer;
  readonly runtime: Runtime;
  readonly store: RowStore;
  readonly notifier: Notifier;
  /** The connection of the audited action that the caller is part of. */
  readonly joined: () => Queryable | undefined;
  /** Makes and prepares queues that nobody has set up. */
  readonly maker: QueueMaker;
}

type Prepared = { readonly row: OutgoingRow } | { readonly refused: MessengerError };

/** Stores messages: what is sent at the same time goes in one insert, what joins a transaction of the caller goes alone. */
export class PgBossSender {
  readonly #input: SenderInput;
  /** Messages with a key may have to wait for another transaction with the same key; the others need not. */
  readonly #lanes: Readonly<Record<LaneName, Coalescer<OutgoingRow, SendResult>>>;
  /** The last check of keys: the next one waits for it, so that no message overtakes another while a queue is prepared. */
  #checking: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(input: SenderInput) {
    this.#input = input;
    const { coalesceMaxRows, coalesceMaxWaitMs, poolSize } = input.options;
    type Flush = (rows: readonly OutgoingRow[]) => Promise<readonly SendResult[]>;
    const lane = (maxFlushes: number, flush: Flush): Coalescer<OutgoingRow, SendResult> =>
      new Coalescer(
        flush,
        (row) => row.data.length + ROW_OVERHEAD_BYTES,
        { maxItems: coalesceMaxRows, maxSize: MAX_FLUSH_BYTES, maxWaitMs: coalesceMaxWaitMs, maxFlushes },
        input.runtime,
      );
    // Connections are left for claims, and to those who wait for a key never more than one.
    // Of those with a partition key one batch must not overtake the other.
    const withCare: Flush = (rows) => this.#flushWithCare(rows);
    this.#lanes = {
      plain: lane(Math.max(1, poolSize - 1), (rows) => this.#flush(rows)),
      keyed: lane(1, withCare),
      ordered: lane(1, withCare),
    };
  }

  send(envelopes: readonly Envelope[], options: SendOptions = {}): Promise<readonly SendResult[]> {
    if (this.#closed) return Promise.reject(new TransportError("TRANSPORT_FAILED", "the transport was closed"));
    const all = envelopes.map((envelope) => this.#prepare(envelope));
    const [first] = all;
    // As nearly always: one message, without keys, that joins nothing.
    const isAlone = all.length === 1 && options.transaction === undefined && this.#input.joined() === undefined;
    if (isAlone && first !== undefined && "row" in first && laneOf(first.row) === "plain") return this.#lanes.plain.add([first.row]);
    return this.#send(all, options);
  }

  async #send(all: readonly Prepared[], options: SendOptions): Promise<readonly SendResult[]> {
    // Nothing is waited for without need: what is sent in one event goes out together.
    const isAnyKeyed = all.some((each) => "row" in each && isKeyed(each.row));
    const mayMake = options.transaction === undefined && this.#input.joined() === undefined;
    const prepared = isAnyKeyed ? await this.#inTurn(() => this.#checkKeys(all, mayMake)) : all;
    const rows = prepared.flatMap((each) => ("row" in each ? [each.row] : []));
    const transaction = options.transaction ?? this.#input.joined();
    const stored = transaction === undefined ? await this.#coalesce(rows) : await this.#join(rows, transaction);
    let next = 0;
    return prepared.map((each) => ("row" in each ? (stored[next++] as SendResult) : { kind: "refused", error: each.refused }));
  }

  /** Waits for what is on its way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#checking;
    await Promise.all(Object.values(this.#lanes).map((lane) => lane.drained()));
  }

  #prepare(envelope: Envelope): Prepared {
    const { transport, serializer, options } = this.#input;
    const queue = envelope.last(stamps.queueName)?.queue ?? DEFAULT_QUEUE;
    if (queue === options.deadLetterQueue) {
      const details = { queue };
      return { refused: new TransportError("QUEUE_NOT_FOUND", `the queue "${queue}" is reserved for dead letters`, { details }) };
    }
    try {
      const row = toRow(envelope, queue, transport, serializer);
      if (UUID_PATTERN.test(row.id)) return { row };
      return { refused: new TransportError("TRANSPORT_FAILED", `the message id ${JSON.stringify(row.id)} is not a UUID`) };
    } catch (error) {
      if (error instanceof MessengerError) return { refused: error };
      return { refused: new MessengerError("PAYLOAD_NOT_JSON", "the serializer refused the message", { cause: error }) };
    }
  }

  #inTurn<T>(check: () => Promise<T>): Promise<T> {
    const result = this.#checking.then(check);
    this.#checking = result.catch(() => undefined);
    return result;
  }

  /** Those with a partition or deduplication key are refused when their queue is not prepared for it. */
  async #checkKeys(prepared: readonly Prepared[], mayMake: boolean): Promise<readonly Prepared[]> {
    const queues = new Set(prepared.flatMap((each) => ("row" in each && isKeyed(each.row) ? [each.row.name] : [])));
    const refusals = new Map<string, MessengerError>();
    for (const queue of queues) {
      const refused = await this.#input.maker.prepareKeys(queue, mayMake);
      if (refused !== undefined) refusals.set(queue, refused);
    }
    return prepared.map((each) => {
      const refused = "row" in each && isKeyed(each.row) ? refusals.get(each.row.name) : undefined;
      return refused === undefined ? each : { refused };
    });
  }

  async #coalesce(rows: readonly OutgoingRow[]): Promise<readonly SendResult[]> {
    if (rows.every((row) => laneOf(row) === "plain")) return this.#lanes.plain.add(rows);
    const groups = await Promise.all(
      [...Map.groupBy(rows, laneOf)].map(async ([lane, some]) => [lane, await this.#lanes[lane].add(some)] as const),
    );
    const results = new Map(groups);
    return rows.map((row) => results.get(laneOf(row))?.shift() as SendResult);
  }

  /** Of those without keys. */
  async #flush(rows: readonly OutgoingRow[]): Promise<readonly SendResult[]> {
    const { notifier } = this.#input;
    const notification = notifier.due(dueQueues(rows));
    if (await this.#insertNew(rows, notification)) {
      if (notification === undefined) notifier.notify(dueQueues(rows));
      return rows.map(accepted);
    }
    return this.#flushWithCare(rows);
  }

  /** Of those with keys, and of others that something came in the way of. */
  async #flushWithCare(rows: readonly OutgoingRow[]): Promise<readonly SendResult[]> {
    // In one order everywhere: two senders with the same keys wait for each other in a line and not in a circle.
    const order = [...rows.keys()];
    if (rows[0] !== undefined && laneOf(rows[0]) === "keyed") {
      const contended = rows.map((row) => row.single ?? row.id);
      order.sort((a, b) => ((contended[a] ?? "") < (contended[b] ?? "") ? -1 : 1));
    }
    const sorted = order.map((i) => rows[i] as OutgoingRow);
    const results = new Array<SendResult>(rows.length);
    for (const [i, result] of (await this.#store(sorted)).entries()) results[order[i] as number] = result;
    this.#wake(rows, results);
    return results;
  }

  async #insertNew(rows: readonly OutgoingRow[], notification: Notification | undefined): Promise<boolean> {
    try {
      return await this.#input.store.insertNew(rows, notification);
    } catch (error) {
      throw toTransportError(error, sending(rows));
    }
  }

  /** Stores rows; when PostgreSQL refuses one of them, halves the batch until that one stands alone. */
  async #store(rows: readonly OutgoingRow[]): Promise<readonly SendResult[]> {
    const { store, maker } = this.#input;
    try {
      return await storeRows(store, rows, (queue) => maker.make(queue));
    } catch (error) {
      if (!isRowFault((error as { cause?: unknown }).cause)) throw toTransportError(error, sending(rows));
      if (rows.length === 1) return [{ kind: "refused", error: toTransportError(error, sending(rows)) }];
      const middle = rows.length >> 1;
      return [...(await this.#store(rows.slice(0, middle))), ...(await this.#store(rows.slice(middle)))];
    }
  }

  /** In the caller's transaction: no queue is made, since that would wait for this very transaction to end. */
  async #join(rows: readonly OutgoingRow[], transaction: unknown): Promise<readonly SendResult[]> {
    if (rows.length === 0) return [];
    const client = toQueryable(transaction);
    const { store, notifier } = this.#input;
    const results = await storeRows(store, rows, async () => false, client);
    const queues = dueQueues(rows, results);
    if (client instanceof AdaptedTransaction) await notifier.within(client, queues);
    else if (queues.length > 0) notifier.afterCommit(client, queues);
    return results;
  }

  #wake(rows: readonly OutgoingRow[], results: readonly SendResult[]): void {
    this.#input.notifier.notify(dueQueues(rows, results));
  }
}

type LaneName = "plain" | "keyed" | "ordered";

function laneOf(row: OutgoingRow): LaneName {
  if (row.part !== undefined) return "ordered";
  return row.key !== null || row.single !== undefined ? "keyed" : "plain";
}

const accepted = ({ id, name }: OutgoingRow): SendResult => ({ kind: "accepted", id, queue: name });

/** Queues in which somebody has something to do now. Without results: when all rows are accepted. */
function dueQueues(rows: readonly OutgoingRow[], results?: readonly SendResult[]): string[] {
  const queues = new Set<string>();
  for (const [i, row] of rows.entries()) {
    // A scheduled time is judged by the database; if it is not over, somebody looks once in vain.
    if ((results === undefined || results[i]?.kind === "accepted") && (row.delay <= 0 || row.at !== null)) queues.add(row.name);
  }
  return [...queues];
}
