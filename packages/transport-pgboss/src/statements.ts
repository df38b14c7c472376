import pg from "pg";
import { type Statement, statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";

/** Names of our own tables, beside those of pg-boss. */
export const WORKER_TABLE = "messenger_worker";
export const COUNTER_TABLE = "messenger_counter";
export const SIGNAL_TABLE = "messenger_signal";
export const REDRIVE_TABLE = "messenger_redrive";
export const REQUEST_TABLE = "messenger_request";
export const AUDIT_TABLE = "messenger_audit";
export const TRASH_TABLE = "messenger_trash";
export const SCHEDULE_TABLE = "messenger_schedule";
export const PAUSE_TABLE = "messenger_pause";
export const BUNDLE_TABLE = "messenger_bundle";

/** What a row needs to be inserted; columns of the JSON recordset that insert, revive and compare take. */
const rowsWith = (more: string): string =>
  `json_to_recordset($1::text::json) AS x(i int, id uuid, name text, priority int, delay float8, at float8, key text, data text${more})`;
const KEYED_ROWS = rowsWith(", part text, single text");

/**
 * Rows ready to be inserted. The due time is reckoned by the database's clock. `created_on` is the due time too: that
 * is how rows for later lie behind those for now in pg-boss's fetch index. Everything else comes from the queue, as
 * pg-boss does it; a queue that does not exist gives no row.
 */
const DUE = "CASE WHEN at IS NOT NULL THEN 'epoch'::timestamptz + at * interval '1 ms' ELSE now() + delay * interval '1 ms' END";
const dueRows = (rows: string): string => `(SELECT x.*, ${DUE} AS due FROM ${rows})`;

/** Of a queue, and of a row: where what is `failed` goes. */
const DEAD_LETTER = "dead_letter";
const OPTIONS = [
  "expire_seconds",
  "deletion_seconds",
  "retry_limit",
  "retry_delay",
  "retry_backoff",
  "retry_delay_max",
  "policy",
  "heartbeat_seconds",
];
export const QUEUE_OPTIONS = [...OPTIONS, DEAD_LETTER].join(", ");
const columnsOf = (alias: string, columns: readonly string[]): string => columns.map((column) => `${alias}.${column}`).join(", ");
export const optionsOf = (alias: string): string => columnsOf(alias, [...OPTIONS, DEAD_LETTER]);

/** Between records in one text. JSON as everybody writes it for us holds no line feed. */
export const RECORD_SEPARATOR = "\n";
export const SEPARATOR = "E'\\n'";

/**
 * Stores messages of any queues, all in one commit. `singleton_key` holds the idempotency key: by it an acknowledgement
 * knows what to keep; on a queue of policy "standard" pg-boss makes nothing of it. A row whose id exists is left out:
 * the result holds the ids that were stored.
 *
 * @param keyed - With partition and deduplication keys. Those who have none do not pay for their columns.
 */
export function insertRows(schema: string, keyed = false): Statement {
  const [columns, values] = keyed ? [", group_id, group_tier", ", j.part, j.single"] : ["", ""];
  return statement(
    keyed ? "insert_keyed" : "insert",
    `INSERT INTO ${schema}.job (id, name, data, priority, start_after, created_on, keep_until, singleton_key, ${QUEUE_OPTIONS}${columns})
     SELECT j.id, j.name, j.data::jsonb, j.priority, j.due, GREATEST(j.due, now()), j.due + q.retention_seconds * interval '1 s', j.key, ${optionsOf("q")}${values}
     FROM ${dueRows(keyed ? KEYED_ROWS : rowsWith(""))} j JOIN ${schema}.queue q ON q.name = j.name
     ORDER BY j.i
     ON CONFLICT DO NOTHING
     RETURNING id::text`,
  );
}

const newOptions = (queue: QueueInfo): readonly string[] => (queue.namesDeadLetters ? OPTIONS : [...OPTIONS, DEAD_LETTER]);

/**
 * Stores new messages of one queue, straight into its table: $1 the queue, $2 ids, $3 records, one a line, $4 priorities,
 * $5 delays and $6 times as in `insertRows`. All of them or, for a queue that does not exist, none.
 *
 * No way around a row that exists, which PostgreSQL would have to look for before each: whoever finds one gets an error,
 * and takes `insertRows`. Lists instead of a JSON object for each row: both ends have less to read and write. Where a
 * trigger names the queue of dead letters when a row fails, the row does not.
 */
export function insertNewRows(schema: string, queue: QueueInfo): Statement {
  const options = newOptions(queue);
  const told = queue.hasFlush ? ` AND ${visibleAtOnce("$7", "$8")}` : "";
  return statement(
    "insert_new",
    `INSERT INTO ${table(schema, queue)} (id, name, data, priority, start_after, created_on, keep_until, ${options.join(", ")})
     SELECT j.id, q.name, j.record::jsonb, j.priority, j.due, GREATEST(j.due, now()), j.due + q.retention_seconds * interval '1 s', ${columnsOf("q", options)}
     FROM ${schema}.queue q CROSS JOIN (
       SELECT x.*, ${DUE} AS due
       FROM unnest($2::uuid[], string_to_array($3::text, ${SEPARATOR}), $4::int[], $5::float8[], $6::float8[])
         WITH ORDINALITY AS x(id, record, priority, delay, at, i)) j
     WHERE q.name = $1::text${told}
     ORDER BY j.i`,
  );
}

/**
 * The same for one message that is due after $4 milliseconds: $1 its id, $2 the record, $3 the priority. Who sends one at
 * a time waits for each, and a statement without lists begins sooner.
 */
export function insertNewRow(schema: string, queue: QueueInfo): Statement {
  const options = newOptions(queue);
  const told = queue.hasFlush ? ` AND ${visibleAtOnce("$5", "$6")}` : "";
  return statement(
    "insert_one",
    `INSERT INTO ${table(schema, queue)} (id, name, data, priority, start_after, created_on, keep_until, ${options.join(", ")})
     SELECT $1::uuid, q.name, $2::text::jsonb, $3::int, j.due, j.due, j.due + q.retention_seconds * interval '1 s', ${columnsOf("q", options)}
     FROM ${schema}.queue q CROSS JOIN (SELECT now() + $4::float8 * interval '1 ms' AS due) j
     WHERE q.name = ${pg.escapeLiteral(queue.name)}${told}`,
  );
}

/**
 * With a channel and a payload, not null: commits without waiting for the disk, and tells listeners with this very commit,
 * so that a worker begins while the disk still writes. Nothing is accepted before `flush` has run behind it. Without: as the
 * session commits. Notifying commits pass one by one, but none of these waits for anything meanwhile.
 */
const visibleAtOnce = (channel: string, payload: string): string =>
  `(SELECT CASE WHEN ${channel}::text IS NULL THEN '' ELSE ${setCommit("off")} || pg_notify(${channel}::text, ${payload}::text)::text END) IS NOT NULL`;

/** Rare, and over all partitions: planned anew each time, when it is known how large they are. */
const unnamed = (text: string): Statement => ({ name: "", text });

/** The window of an idempotency key is over and its row still there. */
const EXPIRED = `t.state::text IN ('completed', 'cancelled') AND t.deletion_seconds > 0 AND t.completed_on + t.deletion_seconds * interval '1 s' <= now()`;

/**
 * Why rows were not stored: `[i, queue exists, id exists, it is the same message, its window is over, id of the unfinished
 * message with the same deduplication key]`. The same: type
 * and payload; what travels beside them (trace context, time) differs between two dispatches of one message.
 */
export function compareRows(schema: string): Statement {
  return unnamed(
    `SELECT n.i, q.name IS NOT NULL AS has_queue, t.id IS NOT NULL AS has_id,
       t.data -> 'type' IS NOT DISTINCT FROM n.record -> 'type' AND t.data -> 'payload' IS NOT DISTINCT FROM n.record -> 'payload' AS is_same,
       coalesce(${EXPIRED}, false) AS is_over,
       CASE WHEN n.single IS NOT NULL THEN (SELECT u.id::text FROM ${schema}.job u
         WHERE u.name = n.name AND u.group_tier IS NOT NULL AND u.group_tier = n.single AND u.state < 'completed') END AS pending
     FROM (SELECT x.i, x.id, x.name, x.single, x.data::jsonb AS record FROM ${KEYED_ROWS}) n
       LEFT JOIN ${schema}.queue q ON q.name = n.name
       LEFT JOIN ${schema}.job t ON t.name = n.name AND t.id = n.id`,
  );
}

/**
 * Gives the row of an idempotency key whose window is over to a new message. An update, and the fence goes on: a
 * deletion and an insertion of the same id would start it anew, and a receipt from before would fit again.
 */
export function reviveRows(schema: string): Statement {
  return unnamed(
    `UPDATE ${schema}.job t SET state = 'created', data = j.data::jsonb, priority = j.priority, start_after = j.due, created_on = GREATEST(j.due, now()),
       keep_until = j.due + q.retention_seconds * interval '1 s', retry_count = t.retry_count + 1, started_on = NULL, completed_on = NULL,
       heartbeat_on = NULL, output = NULL, source_name = NULL, source_id = NULL, source_created_on = NULL, source_retry_count = NULL, source_output = NULL, group_id = j.part, group_tier = NULL
     FROM ${dueRows(KEYED_ROWS)} j JOIN ${schema}.queue q ON q.name = j.name
     WHERE t.name = j.name AND t.id = j.id AND ${EXPIRED}
     RETURNING t.id::text`,
  );
}

/** How durable a commit is; with anything but "on" a crash of the server, or a failover, may undo it. */
export type Durability = "off" | "local" | "on";

/** For the transaction of one statement: no round trip, no setting of the session, fit for any pooler. */
export const setCommit = (commit: Durability): string => (commit === "on" ? "''" : `set_config('synchronous_commit', '${commit}', true)`);

const table = (schema: string, queue: QueueInfo): string => `${schema}.${queue.table}`;

/**
 * The current deliveries among the receipts of one queue: the receipts' columns, and `tid`, where the row is.
 *
 * In this form there is one plan only: a look-up by name and id for each receipt. As a plain join, a planner that takes
 * the table for empty reads all of it, and compares every row with every receipt. `state::text` keeps it from the
 * partial index on active rows, which it takes for smaller than a look-up as long as it believes that nothing is active.
 *
 * A row of another claim is another delivery, where the receipt knows its claim (see `Receipt`).
 *
 * @param receipts - A FROM item `a` with columns `id`, `rc` and `claim`.
 */
export const current = (table: string, name: string, columns: string, receipts: string): string =>
  `SELECT ${columns}, x.tid FROM ${receipts} CROSS JOIN LATERAL (
         SELECT t.ctid AS tid FROM ${table} t
         WHERE t.name = ${name} AND t.id = a.id AND t.retry_count = a.rc AND t.state::text = 'active' AND ${ofClaim("t", "a.claim")} OFFSET 0) x`;

/** The row is of that claim, or the claim is not known. */
export const ofClaim = (row: string, claim: string): string => `(${claim} IS NULL OR ${row}.output ->> 'claim' = ${claim}::text)`;

/**
 * The fence of a settlement: state and retry_count are checked again on the row as it is when its lock is ours, so of
 * two settlements one finds nothing.
 */
export const fence = (row: string, found: string): string =>
  `${row}.ctid = ${found}.tid AND ${row}.retry_count = ${found}.rc AND ${row}.state::text = 'active'`;

/** A patch is merged into a record only where there is something to merge it into. */
export const patched = (data: string, patch: string): string =>
  `CASE WHEN ${patch} IS NULL OR jsonb_typeof(${data}) IS DISTINCT FROM 'object' THEN ${data} ELSE ${data} || ${patch} END`;

/**
 * Gives messages back, each with its own delay in milliseconds (null: released, to the head of the queue). The claim
 * that follows raises `retry_count`, since `started_on` stays.
 */
export function giveBack(schema: string, queue: QueueInfo, commit: Durability): Statement {
  return statement(
    "give_back",
    `WITH settings AS MATERIALIZED (SELECT ${setCommit(commit)}),
     i AS MATERIALIZED (${current(
       table(schema, queue),
       pg.escapeLiteral(queue.name),
       "a.*, now() + coalesce(a.delay, 0) * interval '1 ms' AS due",
       "json_to_recordset($1::text::json) AS a(i int, id uuid, rc int, claim bigint, delay float8, patch jsonb)",
     )})
     UPDATE ${table(schema, queue)} j SET state = 'retry', start_after = i.due, keep_until = i.due + (j.keep_until - j.start_after),
       created_on = CASE WHEN i.delay IS NULL THEN j.created_on ELSE i.due END, heartbeat_on = NULL, output = NULL, data = ${patched("j.data", "i.patch")}
     FROM i, (SELECT count(*) FROM settings) s
     WHERE ${fence("j", "i")}
     RETURNING i.i`,
  );
}

/** Columns of a message that its dead letter keeps. */
const MOVED = "j.id, j.name, j.data, j.priority, j.retry_count, j.created_on, j.singleton_key, j.group_id, j.source_root_id";

/**
 * Moves messages to the dead letters in one statement: a message is in its queue or there, never in both, never in
 * none. One row where pg-boss writes two, with the columns that its `redrive` reads. The row of an idempotency key
 * stays behind as "cancelled", so that the key is still known, and a redrive wakes it.
 *
 * The id is the message's own; only when an older dead letter has it (the key's window was over and the key used
 * again) a new one is made. LEFT JOIN: without its queue row the insert must fail, not lose the message.
 */
export function deadLetter(schema: string, queue: QueueInfo, dead: QueueInfo): Statement {
  const source = table(schema, queue);
  const target = table(schema, dead);
  const name = pg.escapeLiteral(dead.name);
  return statement(
    "dead_letter",
    `WITH i AS MATERIALIZED (${current(
      source,
      pg.escapeLiteral(queue.name),
      "a.*",
      "json_to_recordset($1::text::json) AS a(i int, id uuid, rc int, claim bigint, patch jsonb, failure jsonb)",
    )}),
     gone AS (DELETE FROM ${source} j USING i WHERE ${fence("j", "i")} AND j.singleton_key IS NULL RETURNING i.i, i.patch, i.failure, ${MOVED}),
     kept AS (UPDATE ${source} j SET state = 'cancelled', completed_on = now(), heartbeat_on = NULL, output = '{"deadLettered": true}'
       FROM i WHERE ${fence("j", "i")} AND j.singleton_key IS NOT NULL RETURNING i.i, i.patch, i.failure, ${MOVED}),
     d AS (SELECT * FROM gone UNION ALL SELECT * FROM kept),
     stored AS (
       INSERT INTO ${schema}.${dead.table} (id, name, data, priority, start_after, created_on, keep_until, singleton_key, group_id,
         source_name, source_id, source_created_on, source_retry_count, source_output, source_root_id, ${QUEUE_OPTIONS})
       SELECT CASE WHEN EXISTS (SELECT 1 FROM ${target} o WHERE o.name = ${name} AND o.id = d.id) THEN gen_random_uuid() ELSE d.id END,
         ${name}, ${patched("d.data", "d.patch")}, d.priority, now(), now(), now() + q.retention_seconds * interval '1 s', d.singleton_key, d.group_id,
         d.name, d.id, d.created_on, d.retry_count, d.failure, coalesce(d.source_root_id, d.id), ${optionsOf("q")}
       FROM d LEFT JOIN ${schema}.queue q ON q.name = ${name})
     SELECT i FROM d`,
  );
}

/** Tells all listeners on the channel $1 about $2. A commit of its own, which need not reach the disk: it is a hint. */
export const NOTIFY: Statement = statement("notify", `SELECT ${setCommit("off")}, pg_notify($1::text, $2::text)`);

/** The same in a transaction of the caller, whose settings are not ours. As text: Prisma cannot read a column of no type. */
export const NOTIFY_IN_TRANSACTION: Statement = unnamed("SELECT pg_notify($1::text, $2::text)::text AS notified");

/** Adds to the counters of queues. Sorted, so that processes do not wait for each other in a circle. */
export function addCounts(schema: string): Statement {
  return statement(
    "count",
    `WITH settings AS MATERIALIZED (SELECT ${setCommit("off")})
     INSERT INTO ${schema}.${COUNTER_TABLE} AS c (queue, handled, failed, retried)
     SELECT x.queue, x.handled, x.failed, x.retried
     FROM json_to_recordset($1::text::json) AS x(queue text, handled bigint, failed bigint, retried bigint), (SELECT count(*) FROM settings) s
     ORDER BY x.queue
     ON CONFLICT (queue) DO UPDATE SET handled = c.handled + EXCLUDED.handled, failed = c.failed + EXCLUDED.failed, retried = c.retried + EXCLUDED.retried`,
  );
}
