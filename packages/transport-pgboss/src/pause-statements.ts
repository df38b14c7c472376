import pg from "pg";
import { type Statement, statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";
import { current, fence, PAUSE_TABLE, SIGNAL_TABLE } from "./statements.ts";

/** What operators did that concerns those who hold or receive messages. */
const SIGNAL = "control";
const table = (schema: string, queue: QueueInfo): string => `${schema}.${queue.table}`;

/**
 * A number that changes whenever something is paused, resumed or cancelled under way; null: nothing ever was. One look-up
 * in a table of a few rows.
 */
export const controlEpoch = (schema: string): string =>
  `(SELECT ((extract(epoch FROM at) * 1000)::bigint % 2147483647)::int FROM ${schema}.${SIGNAL_TABLE} WHERE name = '${SIGNAL}')`;

/** Moves on by a millisecond at least, however fast one change follows the other: the row's lock puts them in order. */
export const bump = (schema: string, condition = "true"): string =>
  `INSERT INTO ${schema}.${SIGNAL_TABLE} AS s (name, at) SELECT '${SIGNAL}', clock_timestamp() WHERE ${condition}
     ON CONFLICT (name) DO UPDATE SET at = GREATEST(clock_timestamp(), s.at + interval '1 ms')`;

/** All pauses, `[queue, type or "", time, by]`, and in a row of their own the epoch in which they hold: `[null, epoch, null, null]`. */
export function readPauses(schema: string): Statement {
  return statement(
    "pauses",
    `SELECT NULL::text, ${controlEpoch(schema)}::text, NULL::text, NULL::text
     UNION ALL SELECT queue, type, to_char(paused_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), paused_by FROM ${schema}.${PAUSE_TABLE}`,
  );
}

/** $1 queue, $2 type or "", $3 by. */
export function addPause(schema: string): Statement {
  return statement(
    "add_pause",
    `WITH signal AS (${bump(schema)})
     INSERT INTO ${schema}.${PAUSE_TABLE} (queue, type, paused_by) VALUES ($1::text, $2::text, $3::text) ON CONFLICT DO NOTHING`,
  );
}

/** Waits for whoever is holding messages back for the sake of this pause: what they held is seen by `letGo` afterwards. */
export function removePause(schema: string): Statement {
  return statement(
    "remove_pause",
    `WITH signal AS (${bump(schema)})
     DELETE FROM ${schema}.${PAUSE_TABLE} WHERE queue = $1::text AND type = $2::text RETURNING 1`,
  );
}

/**
 * Holds deliveries of paused types back: out of the fetch index, as pg-boss does with what waits for another job, so
 * that no claim walks over them however many they are. `created_on` stays: they come back to their places. Only while
 * the pause is there, and it cannot go before this commits. Rows: the positions that were held.
 */
export function holdBack(schema: string, queue: QueueInfo): Statement {
  const name = pg.escapeLiteral(queue.name);
  return statement(
    "hold_back",
    `WITH p AS MATERIALIZED (SELECT type FROM ${schema}.${PAUSE_TABLE} WHERE queue = ${name} FOR KEY SHARE),
     i AS MATERIALIZED (${current(table(schema, queue), name, "a.*", "json_to_recordset($1::text::json) AS a(i int, id uuid, rc int, claim bigint, type text)")})
     UPDATE ${table(schema, queue)} j SET state = 'retry', blocked = true, heartbeat_on = NULL, output = jsonb_build_object('paused', i.type)
     FROM i WHERE ${fence("j", "i")} AND i.type IN (SELECT type FROM p)
     RETURNING i.i`,
  );
}

/** Messages of one transaction at most: nobody waits long for a row of it. */
const TOGETHER = 5_000;

/** Messages of the queue that are held back and not paused any more (rows of alias `t`). */
export function heldInVain(schema: string, queue: QueueInfo): string {
  const name = pg.escapeLiteral(queue.name);
  return `t.blocked AND t.name = ${name} AND t.state < 'active' AND t.output ? 'paused'
           AND NOT EXISTS (SELECT 1 FROM ${schema}.${PAUSE_TABLE} p WHERE p.queue = ${name} AND p.type = t.output ->> 'paused')`;
}

/** Lets go what is held back and not paused any more; a bounded number at a time. The result is how many. */
export function letGo(schema: string, queue: QueueInfo): Statement {
  const rows = table(schema, queue);
  return statement(
    "let_go",
    `WITH free AS (
       UPDATE ${rows} SET blocked = false, output = NULL WHERE ctid = ANY (ARRAY (
         SELECT t.ctid FROM ${rows} t WHERE ${heldInVain(schema, queue)}
         LIMIT ${TOGETHER} FOR UPDATE OF t SKIP LOCKED))
       RETURNING 1)
     SELECT count(*)::int FROM free`,
  );
}

const waiting = (queue: QueueInfo): string =>
  `t.name = ${pg.escapeLiteral(queue.name)} AND t.state < 'active' AND ($1::text IS NULL OR t.data ->> 'type' = $1::text)`;

/** $1 type or null. */
export const countWaiting = (schema: string, queue: QueueInfo): Statement => ({
  name: "",
  text: `SELECT count(*)::int FROM ${table(schema, queue)} t WHERE ${waiting(queue)}`,
});

/** $1 type or null, $2 how many at most. Without RETURNING, as `removing` wants it. */
export const removeWaiting = (schema: string, queue: QueueInfo): string =>
  `DELETE FROM ${table(schema, queue)} d WHERE d.ctid = ANY (ARRAY (
     SELECT t.ctid FROM ${table(schema, queue)} t WHERE ${waiting(queue)} LIMIT LEAST($2::int, ${TOGETHER}) FOR UPDATE SKIP LOCKED))`;
