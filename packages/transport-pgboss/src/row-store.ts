import type { Call, Database, Queryable, Statement } from "./connection.ts";
import { isForbidden, isSurprise } from "./driver-errors.ts";
import { FLUSH_WITHOUT_SEQUENCE, flush } from "./flush.ts";
import type { Comparison, RowStore } from "./inserter.ts";
import type { Notification } from "./notifier.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { isKeyed, type OutgoingRow } from "./row-codec.ts";
import { compareRows, insertNewRow, insertNewRows, insertRows, NOTIFY, RECORD_SEPARATOR, reviveRows } from "./statements.ts";

/**
 * Rows in one insert that may be received while their commit waits for the disk: as many as a worker claims in a hurry. The
 * commit that makes them durable is one more, which larger inserts would feel, and of those each message waits for others.
 */
const EARLY_ROWS = 8;

/** Rows by our own statements: one round trip and one commit for messages of any queues. */
export function createFastRowStore(database: Database, schema: string, queues: QueueDirectory): RowStore {
  const insertNew = perQueue((queue) => insertNewRows(schema, queue));
  const insertOne = perQueue((queue) => insertNewRow(schema, queue));
  const insert = insertRows(schema);
  const insertKeyed = insertRows(schema, true);
  const compare = compareRows(schema);
  const revive = reviveRows(schema);
  const flushed = flush(schema);
  /** Rows are stored, and may be received: whatever is wrong with the second commit, they are not stored once more. */
  const makeDurable = async (rows: readonly OutgoingRow[], followed: () => Promise<void>): Promise<void> => {
    try {
      await followed();
    } catch (error) {
      if (!isForbidden((error as { cause?: unknown }).cause)) throw error;
      // The sequence has gone, or the right to set it.
      await database.run(FLUSH_WITHOUT_SEQUENCE, [], sending(rows), database.main);
      await queues.refresh();
    }
  };
  const ids = (rows: readonly (readonly unknown[])[]): ReadonlySet<string> => new Set(rows.map((row) => row[0] as string));
  return {
    insertNew: async (rows, notification) => {
      const name = rows[0]?.name ?? "";
      if (!rows.every((row) => isOrdinary(row, name))) return false;
      const queue = queues.peek(name) ?? (await queues.find(name));
      if (queue === undefined) return false;
      const early = queue.hasFlush && rows.length <= EARLY_ROWS ? notification : undefined;
      const [first, ...others] = rows as readonly [OutgoingRow, ...OutgoingRow[]];
      const call =
        others.length === 0 && first.at === null
          ? { sql: insertOne(queue), values: [first.id, first.data, `${first.priority}`, `${first.delay}`] }
          : { sql: insertNew(queue), values: newRows(name, first, others) };
      if (queue.hasFlush) call.values.push(early?.channel ?? null, early?.payload ?? null);
      const behind = early === undefined ? toCall(notification) : { sql: flushed, values: [] };
      const sent = await database.change(call, sending(rows), behind).catch((error: unknown) => {
        if (isSurprise((error as { cause?: unknown }).cause)) return undefined;
        throw error;
      });
      if (sent !== undefined && early !== undefined) await makeDurable(rows, sent.followed);
      return sent?.changed === rows.length;
    },
    insert: async (rows, on) => ids(await database.run(rows.some(isKeyed) ? insertKeyed : insert, [recordset(rows)], sending(rows), on)),
    revive: async (rows, on) => ids(await database.run(revive, [recordset(rows)], sending(rows), on)),
    compare: async (rows, on) => {
      const found = comparisons(rows, await database.run(compare, [recordset(rows)], sending(rows), on));
      // What is there may have been stored a moment ago by a sender that still waits for the disk.
      if (rows.some((row) => queues.peek(row.name)?.hasFlush)) await flushBeside(database, schema, rows, on);
      return found;
    },
  };
}

/** In a transaction of the caller it would need the caller's rights, and could abort it; one of our own may have the only connection. */
export async function flushBeside(database: Database, schema: string, rows: readonly OutgoingRow[], on?: Queryable): Promise<void> {
  await database.run(flush(schema), [], sending(rows), on === database.joined ? on : database.main);
}

const toCall = (notification: Notification | undefined): Call | undefined =>
  notification === undefined ? undefined : { sql: NOTIFY, values: [notification.channel, notification.payload] };

function perQueue(make: (queue: QueueInfo) => Statement): (queue: QueueInfo) => Statement {
  const made = new WeakMap<QueueInfo, Statement>();
  return (queue) => {
    const known = made.get(queue);
    if (known !== undefined) return known;
    const fresh = make(queue);
    made.set(queue, fresh);
    return fresh;
  };
}

export const sending = (rows: readonly OutgoingRow[]): string => `sending ${rows.length} message${rows.length === 1 ? "" : "s"}`;

/** Without keys, in this queue, and with a record that is one line of text. */
const isOrdinary = (row: OutgoingRow, queue: string): boolean =>
  row.name === queue && row.key === null && !isKeyed(row) && row.data !== "" && !row.data.includes(RECORD_SEPARATOR);

/** Parameters of `insertNewRows`. */
function newRows(queue: string, first: OutgoingRow, others: readonly OutgoingRow[]): unknown[] {
  let [ids, records, priorities, delays, times] = [first.id, first.data, `${first.priority}`, `${first.delay}`, `${first.at}`];
  for (const { id, data, priority, delay, at } of others) {
    ids += `,${id}`;
    records += `${RECORD_SEPARATOR}${data}`;
    priorities += `,${priority}`;
    delays += `,${delay}`;
    times += `,${at}`;
  }
  return [queue, `{${ids}}`, records, `{${priorities}}`, `{${delays}}`, `{${times}}`];
}

/** The text of the JSON recordset. `i` keeps the order, which decides the order of delivery among equals. */
export function recordset(rows: readonly OutgoingRow[]): string {
  return JSON.stringify(rows.map((row, i) => ({ i, ...row })));
}

export function comparisons(rows: readonly OutgoingRow[], found: readonly (readonly unknown[])[]): Comparison[] {
  const answers = new Array<Comparison>(rows.length);
  for (const each of found) {
    const [i, queueExists, idExists, same, expired, holder] = each as [number, boolean, boolean, boolean, boolean, string | null];
    answers[i] = { queueExists, idExists, same, expired, holder };
  }
  return answers;
}
