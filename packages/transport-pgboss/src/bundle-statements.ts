import pg from "pg";
import { type Statement, statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";
import { BUNDLE_TABLE, optionsOf, QUEUE_OPTIONS, SEPARATOR } from "./statements.ts";

/**
 * Bundles: messages that a worker has claimed at once, in one row.
 *
 * A claim that rewrites each row costs a new version of the row and new index entries, and its acknowledgement looks each
 * of them up again. So small messages leave their queue when they are claimed, and travel as one row until they are
 * settled: two statements on their queue's table, insert and delete, and one row of this table for hundreds of them.
 *
 * A message in flight is in a bundle or an active row of its queue, never both, and goes from one to the other in one
 * statement. All that is not an acknowledgement by its holder works on active rows: `unbundle` makes them of what is
 * needed. `gone` has a bit for each message of the bundle that is not in it any more.
 */
export const BUNDLE_COLUMNS = `worker_id text NOT NULL, claim bigint NOT NULL, queue text NOT NULL, claimed_at timestamptz NOT NULL DEFAULT now(),
  gone varbit NOT NULL, ids uuid[] NOT NULL, fences int[] NOT NULL, priorities int[] NOT NULL, created timestamptz[] NOT NULL, records text NOT NULL,
  PRIMARY KEY (worker_id, claim, queue)`;

/** Compressing random ids is lost time, and records of hundreds of messages are written once and read never, if all goes well. */
export const BUNDLE_STORAGE = [
  ...["ids", "created", "records"].map((column) => `ALTER COLUMN ${column} SET STORAGE EXTERNAL`),
  `SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 1,
    vacuum_truncate = false, toast.vacuum_truncate = false)`,
].join(", ");

/**
 * Bytes of a record, not compressed, up to which it travels in a bundle: so ten thousand are far from what a value may
 * hold. Larger ones are compressed or out of line already, and a new row version does not write those again.
 */
const SMALL_BYTES = 2_000;

/** Whether a row holds nothing that a bundle has no place for. */
export const FITS_BUNDLE = `coalesce(singleton_key IS NULL AND group_id IS NULL AND group_tier IS NULL AND source_name IS NULL
  AND source_root_id IS NULL AND pg_column_compression(data) IS NULL AND pg_column_size(data) <= ${SMALL_BYTES}, false)`;

/**
 * The rows of `deleted` (id, fence, priority, created_on, record) as one, in order of delivery; no row of none.
 *
 * @param by - A column of theirs: as one for each of its values.
 */
export const gathered = (deleted: string, by?: string): string =>
  `SELECT ${by === undefined ? "" : `${by}, `}count(*)::int AS n, array_agg(id) AS ids, array_agg(fence) AS fences, array_agg(priority) AS priorities, array_agg(created_on) AS created,
     string_agg(record, ${SEPARATOR}) AS records
   FROM (SELECT * FROM ${deleted} ORDER BY ${by === undefined ? "" : `${by}, `}priority DESC, created_on, id) AS ordered${by === undefined ? "" : ` GROUP BY ${by}`} HAVING count(*) > 0`;

/** Stores what was gathered under worker $1 and claim $3. */
export const bundled = (schema: string, name: string, gathered: string): string =>
  `INSERT INTO ${schema}.${BUNDLE_TABLE} (worker_id, claim, queue, gone, ids, fences, priorities, created, records)
   SELECT $1::text, $3::bigint, ${name}, repeat('0', n)::varbit, ids, fences, priorities, created, records FROM ${gathered}`;

/**
 * Columns of what was gathered as text: ids, fences, priorities. One number stands for as many equal ones. Behind the
 * priorities, after a semicolon: the time of the last message in microseconds since 1970.
 */
export const GATHERED_TEXT = `array_to_string(ids, ','), ${uniform("fences")},
         concat(${uniform("priorities")}, ';', (extract(epoch FROM created[n]) * 1000000)::bigint)`;

function uniform(column: string): string {
  return `CASE WHEN ${column}[1] = ALL (${column}) THEN ${column}[1]::text ELSE array_to_string(${column}, ',') END`;
}

/**
 * Acknowledgements of messages in bundles, as CTEs: $5 workers, $6 claims, $7 queues, $8 masks, with a bit for each message
 * of the bundle. Their bits are looked at on the row as it is when its lock is ours, so of two settlements of one
 * delivery one comes too late. A bundle whose last message goes, goes.
 */
export function bundleAcknowledgements(schema: string): { readonly parts: readonly string[]; readonly result: string } {
  const table = `${schema}.${BUNDLE_TABLE}`;
  const same = "b.worker_id = h.worker_id AND b.claim = h.claim AND b.queue = h.queue";
  const left = "position(B'0' IN h.gone | h.mask)";
  return {
    parts: [
      `m AS MATERIALIZED (SELECT a.worker_id, a.claim, a.queue, a.mask::varbit AS mask, a.i::int AS i
         FROM unnest($5::text[], $6::bigint[], $7::text[], $8::text[]) WITH ORDINALITY AS a(worker_id, claim, queue, mask, i))`,
      `h AS MATERIALIZED (SELECT m.*, x.gone FROM m CROSS JOIN LATERAL (SELECT b.gone FROM ${table} b
         WHERE b.worker_id = m.worker_id AND b.claim = m.claim AND b.queue = m.queue FOR UPDATE OFFSET 0) x)`,
      `finished AS (DELETE FROM ${table} b USING h WHERE ${same} AND ${left} = 0)`,
      `begun AS (UPDATE ${table} b SET gone = h.gone | h.mask FROM h WHERE ${same} AND ${left} > 0)`,
    ],
    // The positions that were too late; null, as nearly always, for none.
    result: "SELECT i, CASE WHEN position(B'1' IN gone & mask) = 0 THEN NULL ELSE (gone & mask)::text END FROM h",
  };
}

/** Rows of a bundle's messages that are still in it: `u` of the bundle `b`. */
const MEMBERS = `unnest(b.ids, b.fences, b.priorities, b.created, string_to_array(b.records, ${SEPARATOR}))
       WITH ORDINALITY AS u(id, fence, priority, created_on, record, i)`;
const STILL_IN = "get_bit(b.gone, u.i::int - 1) = 0";

/** Rows of a queue from members. @param values - state, start_after, heartbeat_on, output, data. */
function restored(
  schema: string,
  from: string,
  values: Readonly<Record<"state" | "start" | "heartbeat" | "output" | "data", string>>,
): string {
  return `INSERT INTO ${schema}.job (id, name, data, priority, state, retry_count, started_on, start_after, created_on, keep_until, heartbeat_on, output, ${QUEUE_OPTIONS})
     SELECT j.id, j.queue, ${values.data}, j.priority, '${values.state}', j.fence, j.claimed_at, ${values.start}, j.created_on,
       j.created_on + q.retention_seconds * interval '1 s', ${values.heartbeat}, ${values.output}, ${optionsOf("q")}
     FROM ${from} AS j JOIN ${schema}.queue q ON q.name = j.queue
     ON CONFLICT DO NOTHING`;
}

/**
 * Makes active rows of deliveries ($1 ids, $2 fences, $3 claims where they are known) of one queue that are in bundles; the
 * receipts stay good.
 */
export function unbundle(schema: string, queue: QueueInfo): Statement {
  const table = `${schema}.${BUNDLE_TABLE}`;
  const values = {
    state: "active",
    start: "j.created_on",
    heartbeat: "now()",
    output: "jsonb_build_object('claimedBy', j.worker_id, 'claim', j.claim)",
    data: "j.record::jsonb",
  };
  return statement(
    "unbundle",
    `WITH a AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS a(id, fence, claim)),
     b AS MATERIALIZED (SELECT * FROM ${table} b WHERE b.queue = ${pg.escapeLiteral(queue.name)} AND b.ids && $1::uuid[] ORDER BY worker_id, claim FOR UPDATE),
     j AS MATERIALIZED (SELECT b.worker_id, b.claim, b.queue, b.claimed_at, b.gone, u.* FROM b CROSS JOIN LATERAL ${MEMBERS}
       WHERE ${STILL_IN} AND ((u.id, u.fence, b.claim) IN (SELECT id, fence, claim FROM a WHERE claim IS NOT NULL)
         OR (u.id, u.fence) IN (SELECT id, fence FROM a WHERE claim IS NULL))),
     o AS MATERIALIZED (SELECT worker_id, claim, gone, bit_or(set_bit(repeat('0', length(gone))::varbit, i::int - 1, 1)::"bit") AS mask
       FROM j GROUP BY worker_id, claim, gone),
     finished AS (DELETE FROM ${table} b USING o WHERE b.worker_id = o.worker_id AND b.claim = o.claim AND b.queue = ${pg.escapeLiteral(queue.name)}
       AND position(B'0' IN o.gone | o.mask) = 0),
     begun AS (UPDATE ${table} b SET gone = o.gone | o.mask FROM o WHERE b.worker_id = o.worker_id AND b.claim = o.claim
       AND b.queue = ${pg.escapeLiteral(queue.name)} AND position(B'0' IN o.gone | o.mask) > 0)
     ${restored(schema, "j", values)}`,
  );
}

/** As a CTE list: takes back what is in bundles that fit `held` (of alias `b`), ready at once, in the old place. `returned` has the queues' names. */
export function takeBackBundles(schema: string, held: string, data: string): string {
  const table = `${schema}.${BUNDLE_TABLE}`;
  return `opened AS (DELETE FROM ${table} WHERE (worker_id, claim, queue) IN (
       SELECT b.worker_id, b.claim, b.queue FROM ${table} b WHERE ${held} FOR UPDATE OF b SKIP LOCKED) RETURNING *),
     members AS (SELECT b.queue, b.claimed_at, u.id, u.fence, u.priority, u.created_on, u.record::jsonb AS data FROM opened b CROSS JOIN LATERAL ${MEMBERS} WHERE ${STILL_IN}),
     returned AS (${restored(schema, "members", { state: "retry", start: "now()", heartbeat: "NULL", output: "NULL", data })} RETURNING name, id)`;
}

/** A message that is in a bundle: worker_id, claimed_at, data, priority, fence. */
export const memberOf = (schema: string, queue: string, id: string): string =>
  `SELECT b.worker_id, b.claimed_at, u.record::jsonb AS data, u.priority, u.fence FROM ${schema}.${BUNDLE_TABLE} b CROSS JOIN LATERAL ${MEMBERS}
   WHERE b.queue = ${queue} AND ${id} = ANY (b.ids) AND u.id = ${id} AND ${STILL_IN}`;

/** How many messages of a bundle are still in it. */
export const LEFT = "length(replace(b.gone::text, '1', ''))";

/** How many messages of a queue are in bundles. */
export const countBundled = (schema: string, queue: string): string =>
  `(SELECT coalesce(sum(${LEFT}), 0)::int FROM ${schema}.${BUNDLE_TABLE} b WHERE b.queue = ${queue})`;
