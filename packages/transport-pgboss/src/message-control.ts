import type { Cancellable, Cancellation, Findable, MessageState, MessageWhereabouts, Receipt } from "@symphony/core";
import pg from "pg";
import { memberOf } from "./bundle-statements.ts";
import type { Bundles } from "./bundles.ts";
import { type Database, type Row, type Statement, statement } from "./connection.ts";
import type { Notifier } from "./notifier.ts";
import { bump } from "./pause-statements.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { UUID_PATTERN } from "./row-codec.ts";
import { CANCELLED, type WakeUp } from "./wakeup.ts";

export interface MessageControlInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly bundles: Bundles;
  readonly notifier: Notifier;
  readonly wakeUp: WakeUp;
  readonly schema: string;
}

/** Queues that one statement looks into. */
const TOGETHER = 20;

interface Place {
  readonly queue: QueueInfo;
  readonly found: MessageWhereabouts;
  /** Of a message in a bundle. */
  readonly fence: number | null;
}

/** Finds single messages, and cancels them. */
export class MessageControl implements Findable, Cancellable {
  readonly #input: MessageControlInput;

  constructor(input: MessageControlInput) {
    this.#input = input;
  }

  async findMessage(id: string): Promise<MessageWhereabouts | undefined> {
    return (await this.#find(id))?.found;
  }

  async cancelMessage(id: string, by?: string): Promise<Cancellation> {
    const { database, schema, notifier, bundles } = this.#input;
    for (let tries = 0; ; tries++) {
      const place = await this.#find(id);
      if (place === undefined) return { kind: "unknown" };
      const { queue, state } = place.found;
      if (state === "failed" || state === "handled" || state === "cancelled") return { kind: "over", queue, state };
      if (place.fence !== null) await bundles.open(place.queue, [{ id, fence: place.fence }]);
      const [row] = await database.run(cancelIn(schema, place.queue), [id, by ?? null], "cancelling a message");
      const [was, workerId] = (row ?? []) as [string?, (string | null)?];
      if (was === "active") {
        notifier.notify([CANCELLED]);
        return { kind: "interrupted", queue, workerId: workerId ?? null };
      }
      if (was !== undefined) return { kind: "removed", queue };
      // It has just moved on, to the dead letters perhaps: look once more.
      if (tries > 0) return { kind: "unknown" };
    }
  }

  async findCancelled(receipts: readonly Receipt[]): Promise<readonly Receipt[]> {
    const { database, queues, schema } = this.#input;
    const cancelled: Receipt[] = [];
    for (const [name, some] of Map.groupBy(receipts, (receipt) => receipt.queue)) {
      const queue = await queues.find(name);
      if (queue === undefined) continue;
      const given = JSON.stringify(some.map(({ id, fence }, i) => ({ i, id, rc: fence })));
      const rows = await database.run(cancelledAmong(schema, queue), [given], "looking for cancelled messages");
      for (const row of rows) cancelled.push(some[row[0] as number] as Receipt);
    }
    return cancelled;
  }

  onCancel(listener: () => void): Promise<() => Promise<void>> {
    return this.#input.wakeUp.onCancel(listener);
  }

  /** In its queue first: a row that stayed behind for its idempotency key comes after the dead letter it belongs to. */
  async #find(id: string): Promise<Place | undefined> {
    if (!UUID_PATTERN.test(id)) return undefined;
    const { database, queues, schema } = this.#input;
    const dead = await queues.deadLetters();
    const all = [...(await queues.all()), dead];
    const places: Place[] = [];
    for (let i = 0; i < all.length; i += TOGETHER) {
      const some = all.slice(i, i + TOGETHER);
      const rows = await database.run(findIn(schema, some, dead), [id.toLowerCase()], "looking for a message");
      for (const row of rows) {
        const queue = some[row[0] as number];
        if (queue !== undefined) places.push({ queue, found: toWhereabouts(row, queue), fence: row[9] as number | null });
      }
    }
    const order: readonly MessageState[] = ["active", "waiting", "scheduled", "failed", "cancelled", "handled"];
    return places.sort((a, b) => order.indexOf(a.found.state) - order.indexOf(b.found.state))[0];
  }
}

const TIME = (time: string): string => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** `[position of the queue, id, type, priority, state, source queue, time, worker, cancelled by, fence in a bundle]` */
function findIn(schema: string, queues: readonly QueueInfo[], dead: QueueInfo): Statement {
  const state = `CASE WHEN t.state::text = 'active' THEN 'active'
      WHEN t.state::text IN ('created', 'retry') THEN CASE WHEN t.start_after > now() THEN 'scheduled' ELSE 'waiting' END
      WHEN t.state::text = 'completed' THEN 'handled' WHEN t.state::text = 'cancelled' THEN 'cancelled' ELSE 'failed' END`;
  const at = `CASE WHEN t.state::text = 'active' THEN t.started_on WHEN t.state::text IN ('created', 'retry') THEN t.start_after ELSE t.completed_on END`;
  const arms = queues.flatMap((queue, k) => {
    const isDead = queue === dead;
    const inBundle = `SELECT ${k}, $1::uuid::text, t.data ->> 'type', t.priority, 'active', NULL::text, ${TIME("t.claimed_at")}, t.worker_id, NULL, t.fence
      FROM (${memberOf(schema, pg.escapeLiteral(queue.name), "$1::uuid")}) t`;
    const row = `SELECT ${k}, t.id::text, t.data ->> 'type', t.priority, ${isDead ? "'failed'" : state}, ${isDead ? "t.source_name" : "NULL::text"},
        ${TIME(isDead ? "t.created_on" : at)}, t.output ->> 'claimedBy', t.output ->> 'cancelledBy', NULL::int
      FROM ${schema}.${queue.table} t WHERE t.name = ${pg.escapeLiteral(queue.name)} AND t.id = $1::uuid${isDead ? " AND t.state::text <> 'completed'" : ""}`;
    return isDead ? [row] : [row, inBundle];
  });
  return statement("find", arms.join("\n UNION ALL "));
}

function toWhereabouts(row: Row, queue: QueueInfo): MessageWhereabouts {
  const [, id, type, priority, state, source, at, worker, cancelledBy] = row as [
    number,
    string,
    string | null,
    number,
    MessageState,
    string | null,
    string,
    string | null,
    string | null,
  ];
  const workerId = state === "active" ? worker : null;
  return { id, type, queue: source ?? queue.name, priority, state, at, workerId, cancelledBy };
}

/**
 * Cancels in one statement what waits or is under way ($1 id, $2 by); the result is the state before and who held it.
 * The fence moves on, so that no settlement of a delivery can find the row. It stays, as pg-boss's own cancelled rows do,
 * until it is forgotten with the idempotency keys.
 */
function cancelIn(schema: string, queue: QueueInfo): Statement {
  const table = `${schema}.${queue.table}`;
  return statement(
    "cancel",
    `WITH o AS MATERIALIZED (
       SELECT t.ctid AS tid, t.state::text AS state, t.output ->> 'claimedBy' AS worker FROM ${table} t
       WHERE t.name = ${pg.escapeLiteral(queue.name)} AND t.id = $1::uuid AND t.state::text IN ('created', 'retry', 'active') FOR UPDATE),
     signal AS (${bump(schema, "EXISTS (SELECT 1 FROM o WHERE state = 'active')")})
     UPDATE ${table} j SET state = 'cancelled', completed_on = now(), heartbeat_on = NULL, blocked = false,
       retry_count = j.retry_count + CASE WHEN o.state = 'active' THEN 1 ELSE 0 END,
       output = jsonb_build_object('cancelled', o.state) || CASE WHEN $2::text IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('cancelledBy', $2::text) END
     FROM o WHERE j.ctid = o.tid
     RETURNING o.state, o.worker`,
  );
}

/** Positions of those deliveries ($1) whose messages were cancelled under way. */
function cancelledAmong(schema: string, queue: QueueInfo): Statement {
  return statement(
    "cancelled_among",
    `SELECT a.i FROM json_to_recordset($1::text::json) AS a(i int, id uuid, rc int) CROSS JOIN LATERAL (
       SELECT 1 FROM ${schema}.${queue.table} t WHERE t.name = ${pg.escapeLiteral(queue.name)} AND t.id = a.id AND t.retry_count = a.rc + 1
         AND t.state::text = 'cancelled' AND t.output ->> 'cancelled' = 'active' OFFSET 0) x ORDER BY a.i`,
  );
}
