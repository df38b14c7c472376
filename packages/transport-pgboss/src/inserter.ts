import { MessengerError, type SendResult, TransportError } from "@symphony/core";
import type { Queryable } from "./connection.ts";
import type { Notification } from "./notifier.ts";
import type { OutgoingRow } from "./row-codec.ts";

/** What became of a row that was not stored, as `compareRows` tells it. */
export interface Comparison {
  readonly queueExists: boolean;
  readonly idExists: boolean;
  readonly same: boolean;
  readonly expired: boolean;
  /** The unfinished message that has the row's deduplication key. */
  readonly holder: string | null;
}

/** How rows get into the database: by our own statements, or through pg-boss. */
export interface RowStore {
  /**
   * Stores rows that, as nearly all do, have new ids, no keys and a queue that exists; false: it stored none, and the
   * other ways must be tried.
   *
   * They may be received before this resolves.
   *
   * @param notification - Sent when they can be received, not waited for.
   */
  insertNew(rows: readonly OutgoingRow[], notification?: Notification): Promise<boolean>;
  /** Stores rows that do not exist; resolves with the ids of those it stored. */
  insert(rows: readonly OutgoingRow[], on?: Queryable): Promise<ReadonlySet<string>>;
  /** One answer per row. What it finds is durable, where the role may make it so. */
  compare(rows: readonly OutgoingRow[], on?: Queryable): Promise<readonly Comparison[]>;
  /** Gives the rows of keys whose window is over to new messages; resolves with the ids for which it did. */
  revive(rows: readonly OutgoingRow[], on?: Queryable): Promise<ReadonlySet<string>>;
}

/** Each round, a row's id may be taken or freed by others again; nobody is that unlucky for long. */
const ROUNDS = 10;

interface Pending {
  readonly row: OutgoingRow;
  readonly position: number;
}

/**
 * Stores rows and finds out what the others are: duplicates, conflicts, or messages to a queue that does not exist.
 *
 * The insert decides, with PostgreSQL's unique index: of any number of senders with one key exactly one gets
 * "accepted". Only those who were left out are looked at afterwards, by a statement that sees the winner.
 *
 * @param makeQueue - Asked once for a queue that does not exist; true when it does now.
 */
export async function storeRows(
  store: RowStore,
  rows: readonly OutgoingRow[],
  makeQueue: (queue: string) => Promise<boolean>,
  on?: Queryable,
): Promise<SendResult[]> {
  const results = new Array<SendResult | undefined>(rows.length);
  let pending: Pending[] = rows.map((row, position) => ({ row, position }));
  const accept = ({ row, position }: Pending): void => {
    results[position] = { kind: "accepted", id: row.id, queue: row.name };
  };
  for (let round = 0; pending.length > 0 && round < ROUNDS; round++) {
    pending = await take((batch) => store.insert(batch, on), pending, accept);
    if (pending.length === 0) break;
    const expired: Pending[] = [];
    const again: Pending[] = [];
    const comparisons = await store.compare(
      pending.map((each) => each.row),
      on,
    );
    for (const [i, each] of pending.entries()) {
      const found = comparisons[i];
      if (found?.queueExists !== true) {
        if (await makeQueue(each.row.name)) again.push(each);
        else results[each.position] = { kind: "refused", error: unknownQueue(each.row.name) };
      } else if (found.holder !== null) results[each.position] = { kind: "duplicate", id: found.holder, queue: each.row.name };
      else if (!found.idExists) again.push(each);
      else if (found.expired) expired.push(each);
      else results[each.position] = taken(each.row, found.same);
    }
    const left = expired.length === 0 ? [] : await take((batch) => store.revive(batch, on), expired, accept);
    pending = [...again, ...left];
  }
  for (const { position, row } of pending) {
    const error = new TransportError("TRANSPORT_FAILED", `the id ${row.id} was taken and freed again ${ROUNDS} times`);
    results[position] = { kind: "refused", error };
  }
  return results as SendResult[];
}

/** Runs one statement with at most one row per id, reports who succeeded, and returns the others. */
async function take(
  run: (rows: readonly OutgoingRow[]) => Promise<ReadonlySet<string>>,
  pending: readonly Pending[],
  accept: (pending: Pending) => void,
): Promise<Pending[]> {
  const first = new Map<string, Pending>();
  for (const each of pending) if (!first.has(idOf(each))) first.set(idOf(each), each);
  const stored = await run([...first.values()].map((each) => each.row));
  return pending.filter((each) => {
    const won = first.get(idOf(each)) === each && stored.has(idOf(each));
    if (won) accept(each);
    return !won;
  });
}

/** As PostgreSQL writes it. */
const idOf = ({ row }: Pending): string => row.id.toLowerCase();

function taken(row: OutgoingRow, same: boolean): SendResult {
  if (same) return { kind: "duplicate", id: row.id, queue: row.name };
  const what = row.key === null ? `the message id ${row.id}` : `the idempotency key "${row.key}"`;
  const error = new MessengerError("IDEMPOTENCY_CONFLICT", `${what} is in use for another message in the queue "${row.name}"`, {
    details: { messageId: row.id, queue: row.name },
  });
  return { kind: "refused", error };
}

const unknownQueue = (queue: string): TransportError =>
  new TransportError("QUEUE_NOT_FOUND", `the queue "${queue}" does not exist: run \`symphony setup\``, { details: { queue } });
