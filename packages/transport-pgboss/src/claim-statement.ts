import pg from "pg";
import { type Statement, statement } from "./connection.ts";
import { controlEpoch } from "./pause-statements.ts";
import type { QueueInfo } from "./queues.ts";
import { current, type Durability, fence, setCommit } from "./statements.ts";

/** What a claim statement has to do; statements of equal needs are equal. */
export interface ClaimNeeds {
  /** Acknowledge and claim here; the order is the precedence. */
  readonly queues: readonly QueueInfo[];
  /** Claim nothing, only acknowledge. */
  readonly acknowledgeOnly: boolean;
  /** Some receipts are of messages with an idempotency key: those are kept as completed. */
  readonly kept: boolean;
  /** Stop at a number of bytes. */
  readonly bounded: boolean;
  readonly commit: Durability;
}

/** $1 worker, $2 how many, $3 number of the claim, $4 bytes; then 4 per queue: ids and fences to delete, ids and fences to complete. */
const FIRST_QUEUE_PARAMETER = 5;
const PARAMETERS_PER_QUEUE = 4;

/**
 * Acknowledges and claims in one round trip and one commit.
 *
 * A row of the result is `[block, id, retry_count, priority, kept, body]`. Block 0, 1, …: a message claimed from that
 * queue, in order of delivery. Block -1, -3, …: acknowledgements by deletion of queue 0, 1, …; block -2, -4, …: those
 * by completion. Their `body` is null when all took effect, else the positions (from 1) that did. Their `priority` is
 * the epoch of control: so whoever claims learns, without asking, that something was paused or resumed.
 */
export function claimStatement(schema: string, needs: ClaimNeeds): Statement {
  const parts: string[] = [];
  const results: string[] = [];
  for (const [k, queue] of needs.queues.entries()) {
    const table = `${schema}.${queue.table}`;
    const name = pg.escapeLiteral(queue.name);
    const parameter = FIRST_QUEUE_PARAMETER + k * PARAMETERS_PER_QUEUE;
    parts.push(receipts(`r${k}`, table, name, parameter), `ack${k} AS (${deletion(table, `r${k}`)})`);
    results.push(acknowledged(-1 - 2 * k, `ack${k}`, parameter));
    if (needs.kept) {
      parts.push(receipts(`s${k}`, table, name, parameter + 2), `kept${k} AS (${completion(table, `s${k}`)})`);
      results.push(acknowledged(-2 - 2 * k, `kept${k}`, parameter + 2));
    }
    if (needs.acknowledgeOnly) continue;
    parts.push(...claim(k, table, name, needs.bounded));
    results.push(`SELECT ${k}, id, retry_count, priority, singleton_key IS NOT NULL, data::text, created_on FROM c${k}`);
  }
  const parameters = Math.max(0, needs.queues.length) * PARAMETERS_PER_QUEUE;
  const label = needs.acknowledgeOnly ? "acknowledge" : "claim";
  return statement(
    label,
    `WITH settings AS MATERIALIZED (SELECT ${setCommit(needs.commit)}, ${needs.acknowledgeOnly ? "NULL::int" : controlEpoch(schema)} AS pauses
       WHERE ($1::text, $2::int, $3::bigint, $4::bigint) IS NOT NULL${typed(parameters)}),
     ${parts.join(",\n     ")}
     SELECT block, id, retry_count, priority, kept, body
     FROM (${results.join("\n       UNION ALL ")}) AS r(block, id, retry_count, priority, kept, body, created_on),
       (SELECT count(*) FROM settings) AS s
     ORDER BY block, priority DESC, created_on, id`,
  );
}

/** Positions of those queues that have a ready message, in order. For workers that take from many queues. */
export function readyStatement(schema: string, queues: readonly QueueInfo[]): Statement {
  const arms = queues.map((queue, k) => {
    const rows = ready(`${schema}.${queue.table}`, pg.escapeLiteral(queue.name), "1", "1", "");
    return `SELECT ${k} WHERE EXISTS (${rows})`;
  });
  return statement("ready", `SELECT k FROM (${arms.join("\n UNION ALL ")}) AS r(k) ORDER BY k`);
}

/** Whether any of these queues has a ready message; and the epoch of control. */
export function anyReadyStatement(schema: string, queues: readonly QueueInfo[]): Statement {
  const arms = queues.map((queue) => `EXISTS (${ready(`${schema}.${queue.table}`, pg.escapeLiteral(queue.name), "1", "1", "")})`);
  return statement("any_ready", `SELECT ${arms.join("\n OR ")}, ${controlEpoch(schema)}`);
}

/** Says the types of parameters that a variant of the statement does not use: PostgreSQL wants every one to have one. */
function typed(count: number): string {
  let text = "";
  for (let i = 0; i < count; i += 2) {
    const at = FIRST_QUEUE_PARAMETER + i;
    text += ` AND ($${at}::uuid[], $${at + 1}::int[]) IS NOT NULL`;
  }
  return text;
}

const receipts = (cte: string, table: string, name: string, parameter: number): string => {
  const given = `unnest($${parameter}::uuid[], $${parameter + 1}::int[]) WITH ORDINALITY AS a(id, rc, i)`;
  return `${cte} AS MATERIALIZED (${current(table, name, "a.rc, a.i", given)})`;
};

const deletion = (table: string, cte: string): string =>
  `DELETE FROM ${table} AS j USING ${cte} AS r WHERE ${fence("j", "r")} AND j.singleton_key IS NULL RETURNING r.i`;

/** The row stays as the memory of its idempotency key. */
const completion = (table: string, cte: string): string =>
  `UPDATE ${table} AS j SET state = 'completed', completed_on = now(), heartbeat_on = NULL, output = NULL FROM ${cte} AS r
       WHERE ${fence("j", "r")} AND j.singleton_key IS NOT NULL RETURNING r.i`;

function acknowledged(block: number, cte: string, parameter: number): string {
  return `SELECT ${block}, NULL::uuid, NULL::int, (SELECT pauses FROM settings), NULL::bool,
         CASE WHEN count(*) = cardinality($${parameter}::uuid[]) THEN NULL ELSE coalesce(array_agg(i), '{}')::text END, NULL::timestamptz FROM ${cte}`;
}

/**
 * Ready rows of one queue, the most urgent first, each locked.
 *
 * Walks from priority to priority (few exist) and reads each one's rows up to now. Rows for later have their time in
 * `created_on` too, so they lie behind that limit in the index and cost nothing, however many they are; one range over
 * all priorities would have to step over them.
 */
function ready(table: string, name: string, columns: string, limit: string, lock = "FOR UPDATE SKIP LOCKED"): string {
  const waiting = `name = ${name} AND state < 'active' AND NOT blocked`;
  return `WITH RECURSIVE p(priority) AS (
           (SELECT priority FROM ${table} WHERE ${waiting} ORDER BY priority DESC LIMIT 1)
           UNION ALL
           SELECT (SELECT n.priority FROM ${table} n WHERE ${waiting} AND n.priority < p.priority ORDER BY n.priority DESC LIMIT 1)
           FROM p WHERE p.priority IS NOT NULL)
         SELECT r.* FROM p CROSS JOIN LATERAL (
           SELECT ${columns} FROM ${table} t
           WHERE ${waiting} AND t.priority = p.priority AND created_on <= now() AND start_after <= now()
           ORDER BY created_on LIMIT ${limit} ${lock}) r
         WHERE p.priority IS NOT NULL LIMIT ${limit}`;
}

/**
 * `ctid = ANY (ARRAY (…))`: the only form that no planner turns into a comparison of the batch with the whole backlog.
 * It is right because the rows are locked by this very statement. Started before: this is another delivery, and the
 * fence rises. `claimedBy` is what a reaper looks for, `claim` what we look for when the answer to this one is lost.
 */
function claim(k: number, table: string, name: string, bounded: boolean): string[] {
  const update = (rows: string): string =>
    `c${k} AS (UPDATE ${table} SET state = 'active', started_on = now(), heartbeat_on = now(),
         retry_count = CASE WHEN started_on IS NULL THEN retry_count ELSE retry_count + 1 END,
         output = jsonb_build_object('claimedBy', $1::text, 'claim', $3::bigint)
       WHERE ctid = ANY (ARRAY (${rows}))
       RETURNING id, retry_count, priority, singleton_key, data, created_on${bounded ? `, ${SIZE} AS size` : ""})`;
  const earlier = Array.from({ length: k }, (_, j) => j);
  const taken = earlier.map((j) => `(SELECT count(*) FROM c${j})`);
  if (!bounded) {
    const limit = k === 0 ? "$2" : `(SELECT $2 - (${taken.join(" + ")}))`;
    return [update(ready(table, name, "ctid", limit))];
  }
  // An earlier queue that was cut off by the bytes still has messages: nothing of a later one may be taken then.
  const cut = earlier.map((j) => `(SELECT count(*) FROM l${j}) > (SELECT count(*) FROM c${j})`);
  const limit = k === 0 ? "$2" : `(SELECT CASE WHEN ${cut.join(" OR ")} THEN 0 ELSE $2 - (${taken.join(" + ")}) END)`;
  const spent = k === 0 ? "0" : earlier.map((j) => `(SELECT coalesce(sum(size), 0) FROM c${j})`).join(" + ");
  const first = k === 0 ? "i = 1" : `(i = 1 AND ${taken.join(" + ")} = 0)`;
  return [
    `l${k} AS MATERIALIZED (${ready(table, name, `ctid AS tid, priority, created_on, id, ${SIZE} AS size`, limit)})`,
    `b${k} AS (SELECT tid FROM (
         SELECT tid, row_number() OVER w AS i, sum(size) OVER w AS total FROM l${k}
         WINDOW w AS (ORDER BY priority DESC, created_on, id ROWS UNBOUNDED PRECEDING)) AS s
       WHERE ${first} OR total + ${spent} <= $4)`,
    update(`SELECT tid FROM b${k}`),
  ];
}

/** Bytes of a record, without unpacking one that is not packed: then its size as stored is near enough. */
const SIZE = "CASE WHEN pg_column_compression(data) IS NULL THEN coalesce(pg_column_size(data), 4) ELSE octet_length(data::text) END";
