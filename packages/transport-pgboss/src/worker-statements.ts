import pg from "pg";
import { takeBackBundles } from "./bundle-statements.ts";
import { type Statement, statement } from "./connection.ts";
import { controlEpoch, heldInVain } from "./pause-statements.ts";
import type { QueueInfo } from "./queues.ts";
import { BUNDLE_TABLE, current, fence, SIGNAL_TABLE, setCommit, WORKER_TABLE } from "./statements.ts";

const ASYNCHRONOUS = `settings AS MATERIALIZED (SELECT ${setCommit("off")})`;

/** First beat: $1 worker, $2 host, $3 pid, $4 queues, $5 slots, $6 in flight. */
export function register(schema: string): Statement {
  return statement(
    "register",
    `WITH ${ASYNCHRONOUS}
     INSERT INTO ${schema}.${WORKER_TABLE} AS w (worker_id, hostname, pid, queues, slots, in_flight)
     SELECT $1::text, $2::text, $3::int, $4::text[], $5::int, $6::int FROM (SELECT count(*) FROM settings) s
     ON CONFLICT (worker_id) DO UPDATE SET hostname = EXCLUDED.hostname, pid = EXCLUDED.pid, queues = EXCLUDED.queues,
       slots = EXCLUDED.slots, in_flight = EXCLUDED.in_flight, last_beat_at = now()
     RETURNING worker_id`,
  );
}

/** Every later beat. No row: the worker was reaped, and must not come back under its name. */
export function renew(schema: string): Statement {
  return statement(
    "renew",
    `WITH ${ASYNCHRONOUS}
     UPDATE ${schema}.${WORKER_TABLE} SET hostname = $2::text, pid = $3::int, queues = $4::text[], slots = $5::int, in_flight = $6::int, last_beat_at = now()
     FROM (SELECT count(*) FROM settings) s
     WHERE worker_id = $1::text RETURNING worker_id`,
  );
}

export function listWorkers(schema: string): Statement {
  return statement(
    "workers",
    `SELECT worker_id, hostname, pid, queues, slots, ${timeText("started_at")}, ${timeText("last_beat_at")}, in_flight
     FROM ${schema}.${WORKER_TABLE} ORDER BY worker_id`,
  );
}

const timeText = (time: string): string => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/**
 * The beats of several workers ($1) at once. `known`: the worker was registered before, so it may only be renewed.
 * One row: those that are gone, when all were asked to stop, the time, the epoch of control, and for how long the most
 * silent worker had not beaten.
 */
export function pulse(schema: string): Statement {
  return statement(
    "pulse",
    `WITH ${ASYNCHRONOUS},
     p AS MATERIALIZED (SELECT * FROM json_to_recordset($1::text::json)
       AS x(id text, hostname text, pid int, queues text[], slots int, in_flight int, known bool)),
     renewed AS (
       UPDATE ${schema}.${WORKER_TABLE} w SET hostname = p.hostname, pid = p.pid, queues = p.queues, slots = p.slots, in_flight = p.in_flight, last_beat_at = now()
       FROM p WHERE p.known AND w.worker_id = p.id RETURNING w.worker_id),
     registered AS (
       INSERT INTO ${schema}.${WORKER_TABLE} AS w (worker_id, hostname, pid, queues, slots, in_flight)
       SELECT id, hostname, pid, queues, slots, in_flight FROM p WHERE NOT known ORDER BY id
       ON CONFLICT (worker_id) DO UPDATE SET hostname = EXCLUDED.hostname, pid = EXCLUDED.pid, queues = EXCLUDED.queues,
         slots = EXCLUDED.slots, in_flight = EXCLUDED.in_flight, last_beat_at = now())
     SELECT ARRAY (SELECT id FROM p WHERE known AND id NOT IN (SELECT worker_id FROM renewed)),
       ${timeText(`(SELECT at FROM ${schema}.${SIGNAL_TABLE} WHERE name = 'stop')`)}, ${timeText("now()")}, ${controlEpoch(schema)},
       (SELECT GREATEST(0, coalesce(extract(epoch FROM now() - min(last_beat_at)), 0) * 1000)::float8 FROM ${schema}.${WORKER_TABLE})
     FROM (SELECT count(*) FROM settings) s`,
  );
}

/** Kept durably: a fleet that was asked to stop must not forget it when the database restarts. */
export function requestStop(schema: string): Statement {
  return statement(
    "request_stop",
    `INSERT INTO ${schema}.${SIGNAL_TABLE} (name, at) VALUES ('stop', now()) ON CONFLICT (name) DO UPDATE SET at = now()`,
  );
}

/** One more interruption in the counters of a record, whatever state they are in; records without a place for it stay. */
const INTERRUPTED = `CASE WHEN jsonb_typeof(j.data) = 'object' THEN j.data || jsonb_build_object('tries',
         '{"failures": 0, "crashes": 0, "interruptions": 0}'::jsonb
         || CASE WHEN jsonb_typeof(j.data -> 'tries') = 'object' THEN j.data -> 'tries' ELSE '{}'::jsonb END
         || jsonb_build_object('interruptions', 1 + CASE WHEN jsonb_typeof(j.data #> '{tries,interruptions}') = 'number'
              THEN (j.data #> '{tries,interruptions}')::numeric ELSE 0 END))
       ELSE j.data END`;

/** One more crash in which the message was one of several. */
const SUSPECTED = `CASE WHEN jsonb_typeof(j.data) = 'object' THEN j.data || jsonb_build_object('suspect',
         1 + CASE WHEN jsonb_typeof(j.data -> 'suspect') = 'number' THEN (j.data ->> 'suspect')::numeric ELSE 0 END)
       ELSE j.data END`;

/** A row of alias `j` that is being handled. */
const isActive = (dead: QueueInfo): string => `j.state = 'active' AND j.name <> ${pg.escapeLiteral(dead.name)}`;

/**
 * Takes back the active rows that fit `held` (of alias `j`): ready at once, in the old place. A row that somebody has locked is left for the next look: one
 * transaction that hangs on a dead connection must not hold back the rescue of everything else.
 */
function takeBack(schema: string, dead: QueueInfo, held: string, data: string): string {
  const fits = `${isActive(dead)} AND ${held}`;
  return `free AS MATERIALIZED (SELECT j.tableoid AS part, j.ctid AS place FROM ${schema}.job j WHERE ${fits} FOR UPDATE OF j SKIP LOCKED),
     taken AS (
       UPDATE ${schema}.job j SET state = 'retry', start_after = now(), heartbeat_on = NULL, output = NULL, data = ${data}
       WHERE ${fits} AND (j.tableoid, j.ctid) IN (SELECT part, place FROM free)
       RETURNING j.name)`;
}

/** Not heard of for $1 milliseconds; of a worker's row, or of a claim. */
const since = (time: string): string => `${time} < now() - $1::float8 * interval '1 ms'`;

/** Claimed so long ago, by a worker that is not in the list: `claimedAt` and `worker` of a row or a bundle; SQL. */
const heldByNobody = (schema: string, claimedAt: string, worker: string): string =>
  `(${since(claimedAt)} AND NOT EXISTS (SELECT 1 FROM ${schema}.${WORKER_TABLE} w WHERE w.worker_id = ${worker}))`;

/**
 * Whether `reap` has anything to do. It is asked first, every few seconds by every process: what changes rows of all
 * queues takes several times as long to plan and to run (of 200 queues 200 and 10 ms), also when there are none.
 */
export function reapable(schema: string, dead: QueueInfo): Statement {
  const sql = statement(
    "reapable",
    `SELECT EXISTS (SELECT 1 FROM ${schema}.${WORKER_TABLE} WHERE ${since("last_beat_at")})
       OR EXISTS (SELECT 1 FROM ${schema}.${BUNDLE_TABLE} b WHERE ${heldByNobody(schema, "b.claimed_at", "b.worker_id")})
       OR EXISTS (SELECT 1 FROM ${schema}.job j WHERE ${isActive(dead)} AND ${heldByNobody(schema, "j.started_on", "j.output ->> 'claimedBy'")})`,
  );
  return { ...sql, isLarge: true };
}

/**
 * Takes back, in one statement, what workers hold that have not beaten for $1 milliseconds. Also what is claimed by
 * nobody in the list, once the claim is that old: a worker whose row went before its claim was committed, or a row that
 * was locked when its worker was reaped.
 *
 * The row lock sees a beat that comes in at the same moment, the snapshot does not: so a worker counts as unknown only
 * when it is not in the snapshot at all. Rows come back as `[worker or null, queue or null]`.
 */
export function reap(schema: string, dead: QueueInfo): Statement {
  const of = (claimedAt: string, worker: string): string =>
    `(${worker} IN (SELECT worker_id FROM stale) OR ${heldByNobody(schema, claimedAt, worker)})`;
  return statement(
    "reap",
    `WITH stale AS MATERIALIZED (
       DELETE FROM ${schema}.${WORKER_TABLE} WHERE worker_id IN (
         SELECT worker_id FROM ${schema}.${WORKER_TABLE} WHERE ${since("last_beat_at")} FOR UPDATE SKIP LOCKED)
       RETURNING worker_id),
     ${takeBack(schema, dead, of("j.started_on", "j.output ->> 'claimedBy'"), INTERRUPTED)},
     ${takeBackBundles(schema, of("b.claimed_at", "b.worker_id"), INTERRUPTED)}
     SELECT worker_id, NULL::text FROM stale UNION ALL SELECT NULL, name FROM taken UNION ALL SELECT NULL, name FROM returned`,
  );
}

/** The same for one worker ($1) that is known to have ended; its messages are interrupted, or suspects of its death. */
export function retire(schema: string, dead: QueueInfo, how: "interrupted" | "suspected"): Statement {
  const data = how === "suspected" ? SUSPECTED : INTERRUPTED;
  return statement(
    `retire_${how}`,
    `WITH gone AS (DELETE FROM ${schema}.${WORKER_TABLE} WHERE worker_id = $1::text),
     ${takeBack(schema, dead, "j.output ->> 'claimedBy' = $1::text", data)},
     ${takeBackBundles(schema, "b.worker_id = $1::text", data)}
     SELECT name FROM taken UNION ALL SELECT name FROM returned`,
  );
}

/** Takes back claims of ours whose answers were lost: nobody has their messages. $1 worker, $2 numbers of the claims. */
export function forgetClaims(schema: string, queue: QueueInfo): Statement {
  const name = pg.escapeLiteral(queue.name);
  return statement(
    "forget_claims",
    `WITH ${takeBackBundles(schema, `b.worker_id = $1::text AND b.claim = ANY ($2::bigint[]) AND b.queue = ${name}`, "j.data")},
     taken AS (
       UPDATE ${schema}.${queue.table} SET state = 'retry', start_after = now(), heartbeat_on = NULL, output = NULL
       WHERE name = ${name} AND state = 'active' AND output ->> 'claimedBy' = $1::text AND (output ->> 'claim')::bigint = ANY ($2::bigint[])
       RETURNING id)
     SELECT id::text FROM taken UNION ALL SELECT id::text FROM returned`,
  );
}

/** Passes deliveries ($2 ids, $3 fences, $4 claims where they are known) to the worker $1: the fence rises as with any other. Rows as of a claim. */
export function adopt(schema: string, queue: QueueInfo): Statement {
  const table = `${schema}.${queue.table}`;
  return statement(
    "adopt",
    `WITH r AS MATERIALIZED (${current(table, pg.escapeLiteral(queue.name), "a.rc", "unnest($2::uuid[], $3::int[], $4::bigint[]) AS a(id, rc, claim)")}),
     adopted AS (
       UPDATE ${table} j SET started_on = now(), heartbeat_on = now(), retry_count = j.retry_count + 1,
         output = jsonb_build_object('claimedBy', $1::text)
       FROM r WHERE ${fence("j", "r")}
       RETURNING j.id, j.retry_count, j.priority, j.singleton_key, j.data, j.created_on)
     SELECT 0, NULL, id::text, retry_count, priority, singleton_key IS NOT NULL, data::text FROM adopted ORDER BY priority DESC, created_on, id`,
  );
}

/** An hour beyond the window: whoever still holds a receipt of such a row has long lost the right to use it. */
const GRACE_SECONDS = 3_600;

/** Keys of the queue whose window is over (rows of alias `t`). */
function overdueKeys(schema: string, queue: QueueInfo): string {
  const name = pg.escapeLiteral(queue.name);
  return `t.name = ${name} AND t.state::text IN ('completed', 'cancelled')
         AND t.completed_on < now() - (SELECT (nullif(q.deletion_seconds, 0) + ${GRACE_SECONDS}) * interval '1 s' FROM ${schema}.queue q WHERE q.name = ${name})`;
}

/** Forgets idempotency keys whose window is over, the oldest first, a bounded number at a time. */
export function forgetKeys(schema: string, queue: QueueInfo): Statement {
  const table = `${schema}.${queue.table}`;
  return statement(
    "forget_keys",
    `DELETE FROM ${table} WHERE ctid = ANY (ARRAY (
       SELECT t.ctid FROM ${table} t WHERE ${overdueKeys(schema, queue)}
       ORDER BY t.completed_on LIMIT 5000 FOR UPDATE SKIP LOCKED))`,
  );
}

/**
 * One row, for each queue in turn a pair: has it keys to forget, has it messages to let go? Asked once for all: mostly it is no.
 *
 * The oldest key is asked for rather than any: in an order that one index has, for else the planner may take another one,
 * and read the whole queue.
 */
export function untidy(schema: string, queues: readonly QueueInfo[]): Statement {
  const asked = queues.flatMap((queue) => {
    const from = `FROM ${schema}.${queue.table} t WHERE`;
    const oldest = `SELECT true ${from} ${overdueKeys(schema, queue)} ORDER BY t.completed_on LIMIT 1`;
    return [`coalesce((${oldest}), false)`, `EXISTS (SELECT 1 ${from} ${heldInVain(schema, queue)})`];
  });
  return { name: "", text: `SELECT ARRAY[${asked.join(", ")}]::bool[]`, isLarge: true };
}
