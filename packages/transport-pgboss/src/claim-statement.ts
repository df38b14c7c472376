import { createHash } from "node:crypto";
import pg from "pg";
import { bundleAcknowledgements, bundled, FITS_BUNDLE, GATHERED_TEXT, gathered } from "./bundle-statements.ts";
import { type Row, type Statement, statement } from "./connection.ts";
import { controlEpoch } from "./pause-statements.ts";
import type { QueueInfo } from "./queues.ts";
import { headOfQueue, ready } from "./ready-rows.ts";
import { current, type Durability, fence, setCommit } from "./statements.ts";

/** What a claim statement has to do; statements of equal needs are equal. */
export interface ClaimNeeds {
  /** Acknowledge and claim here; the order is the precedence. */
  readonly queues: readonly QueueInfo[];
  /** Claim nothing, only acknowledge. */
  readonly acknowledgeOnly: boolean;
  /** Some receipts are of messages in bundles. */
  readonly bundles: boolean;
  /** Some receipts are of messages that have rows of their own. */
  readonly rows: boolean;
  /** Some of those are of messages with an idempotency key: they are kept as completed. */
  readonly kept: boolean;
  /** Stop at a number of bytes. */
  readonly bounded: boolean;
  /**
   * Claim bundles alone, and nothing where some message fits none (see `UNFIT`): of many queues, which have a statement for
   * every few, shorter to plan by a third. Not with `rows`, `kept` or `bounded`, nor from queues that keep turns.
   */
  readonly together?: boolean;
  readonly commit: Durability;
}

/**
 * $1 worker, $2 how many, $3 number of the claim, $4 bytes, $5 to $8 acknowledgements in bundles, $9 to $11 how many queues
 * to claim from, and in the last of them the head: priority and time (see `QueueHeads`); $12 whether to take nothing where
 * enough claims are under way; then, with `rows`, 6 per queue: ids, fences and claims to delete, and to complete.
 */
const FIRST_QUEUE_PARAMETER = 13;
const PARAMETERS_OF_RECEIPTS = 3;
const PARAMETERS_PER_QUEUE = 2 * PARAMETERS_OF_RECEIPTS;

/** Blocks of the result: see `claimStatement`. */
export const BUNDLE_ACKNOWLEDGED = -1_000;
export const FIRST_BUNDLE = 1_000;
export const SETTINGS = -1_001;
/** With it, as `id`: enough other claims were under way. */
export const BUSY = "busy";
/** With it, as `fence`: nothing was claimed `together`, since some of it has to be claimed as rows. */
export const UNFIT = "unfit";

/**
 * Acknowledges and claims in one round trip and one commit. Rows of the result are `[block, number, id, fence, priority, kept, body]`.
 *
 * - Block 0, 1, …: a message claimed from that queue as a row of its own, in order of delivery.
 * - Block 1000, 1001, …: the messages claimed from queue 0, 1, … as a bundle: `number` of them, with ids, fences, priorities
 *   and bodies as lists, and where the last one lay (see `bundle-statements.ts`). A claim takes rows or a bundle of a queue, so their order needs no mending.
 * - Block -1, -3, …: acknowledgements by deletion of queue 0, 1, …; block -2, -4, …: those by completion. `body` is null when
 *   all took effect, else the positions (from 1) that did.
 * - Block -1000: one for each bundle that was found, by its position (`number`, from 1); `body`: the bits that came too late.
 * - Block -1001: `number` is the epoch of control: so whoever claims learns, without asking, that something was paused or resumed.
 *
 * Claims from the same queues, but for `fewStatement`, take one of two places while they run, if one is free, and say so if
 * not. Those that are told to ($12) claim nothing without: two keep the server busy where one worker consumes; where several
 * do, each of them has one under way anyway, and more would only meet each other's locks.
 */
export function claimStatement(schema: string, needs: ClaimNeeds): Statement {
  const inBundles = bundleAcknowledgements(schema);
  // What nobody needs is left out: PostgreSQL opens the tables of a statement before it finds that there is nothing to do.
  const parts: string[] = needs.bundles ? [...inBundles.parts] : [];
  const isTogether = needs.together === true && !needs.acknowledgeOnly;
  const unfit = isTogether ? `CASE WHEN NOT (SELECT small FROM g) THEN '${UNFIT}' END` : "NULL::text";
  const results: string[] = [
    `SELECT ${SETTINGS} AS block, pauses AS number, CASE WHEN NOT free THEN '${BUSY}' END AS id, ${unfit} AS fence, NULL::text AS priority, NULL::bool AS kept, NULL::text AS body,
       NULL::int AS urgency, NULL::timestamptz AS created_on FROM settings`,
  ];
  if (needs.bundles)
    results.push(`SELECT ${BUNDLE_ACKNOWLEDGED}, r.i, NULL, NULL, NULL, NULL, r.late, NULL, NULL FROM (${inBundles.result}) AS r(i, late)`);
  for (const [k, queue] of needs.queues.entries()) {
    const table = `${schema}.${queue.table}`;
    const name = pg.escapeLiteral(queue.name);
    const parameter = FIRST_QUEUE_PARAMETER + k * PARAMETERS_PER_QUEUE;
    if (needs.rows) {
      parts.push(receipts(`r${k}`, table, name, parameter), `ack${k} AS (${deletion(table, `r${k}`)})`);
      results.push(acknowledged(-1 - 2 * k, `ack${k}`, parameter));
    }
    if (needs.kept) {
      const keptParameter = parameter + PARAMETERS_OF_RECEIPTS;
      parts.push(receipts(`s${k}`, table, name, keptParameter), `kept${k} AS (${completion(table, `s${k}`)})`);
      results.push(acknowledged(-2 - 2 * k, `kept${k}`, keptParameter));
    }
    if (needs.acknowledgeOnly || isTogether) continue;
    // Turns are kept by the rows of a queue: where there are any, every message in flight stays one.
    const bundles = !queue.keyed;
    parts.push(...claim(k, schema, queue, { bundles, bounded: needs.bounded }));
    results.push(
      `SELECT ${k}, NULL, id::text, retry_count::text, priority::text, singleton_key IS NOT NULL, data::text, priority, created_on FROM c${k}`,
    );
    if (bundles)
      results.push(
        `SELECT ${FIRST_BUNDLE + k}, n, ${GATHERED_TEXT}, false, records, NULL, NULL FROM o${k}, (SELECT count(*) FROM i${k}) AS stored`,
      );
  }
  if (isTogether) {
    parts.push(...together(schema, needs.queues));
    results.push(`SELECT ${FIRST_BUNDLE} + k, n, ${GATHERED_TEXT}, false, records, NULL, NULL FROM o, (SELECT count(*) FROM i) AS stored`);
  }
  const parameters = needs.rows ? needs.queues.length * PARAMETERS_PER_QUEUE : 0;
  const label = needs.acknowledgeOnly ? "acknowledge" : "claim";
  const sql = statement(
    label,
    `WITH settings AS MATERIALIZED (SELECT ${setCommit(needs.commit)}, pauses, free, $12::bool AND NOT free AS refused
       FROM (SELECT ${needs.acknowledgeOnly ? "NULL::int AS pauses, true AS free" : `${controlEpoch(schema)} AS pauses, ${place(schema, needs.queues)} AS free`} OFFSET 0) AS s
       WHERE ($1::text, $2::int, $3::bigint, $4::bigint, $5::text[], $6::bigint[], $7::text[], $8::text[], $9::int) IS NOT NULL AND ($10::int IS NULL OR $11::float8 IS NOT NULL)${typed(parameters)})${parts.map((part) => `,\n     ${part}`).join("")}
     SELECT block, number, id, fence, priority, kept, body
     FROM (${results.join("\n       UNION ALL ")}) AS r
     ORDER BY block, urgency DESC, created_on, id`,
  );
  return { ...sql, isLarge: needs.queues.length > 1 };
}

/**
 * Claims up to $2 messages of one queue for worker $1 under number $3, as rows of their own, and nothing else: less than
 * half of the plan of `claimStatement`, for a message that somebody waits for. Rows of the result, in no order (see `ofFew`):
 * the record, and the rest as one text, since each column costs the driver as much as a small message.
 *
 * A claim that brings no acknowledgement does not wait for the disk: what a crash of the server undoes is delivered again,
 * as it is after most outages.
 *
 * @param o.isAsync - The session does not wait for the disk anyway.
 */
export function fewStatement(schema: string, queue: QueueInfo, o: { readonly isAsync: boolean }): Statement {
  const table = `${schema}.${queue.table}`;
  const picked = ready(table, pg.escapeLiteral(queue.name), "ctid AS tid", "$2");
  const rest = `id, retry_count, priority, (singleton_key IS NOT NULL)::int, (extract(epoch FROM greatest(created_on, 'epoch')) * 1000000)::bigint, coalesce(${controlEpoch(schema)}::text, '')`;
  // Behind all that is wanted, and with one row at least: without any there is nothing to commit.
  const settings = o.isAsync ? "" : `, ${setCommit("off")}`;
  return statement(
    o.isAsync ? "claim_few" : "claim_few_alone",
    activation(table, `ctid = ANY (ARRAY (${picked}))`, `data::text, concat_ws(',', ${rest}${settings})`),
  );
}

/** The rows of that result as those of `claimStatement`, in order of delivery, each with the epoch of control for its `number`. */
export function ofFew(rows: readonly Row[]): [number, number | null, ...unknown[]][] {
  const all = rows.map(([body, rest]) => {
    const [id, fence, priority, kept, createdOn, epoch] = (rest as string).split(",") as [string, string, string, string, string, string];
    const row: [number, number | null, ...unknown[]] = [0, epoch === "" ? null : Number(epoch), id, fence, priority, kept === "1", body];
    return { row, id, priority: Number(priority), createdOn: Number(createdOn) };
  });
  if (all.length > 1) all.sort((a, b) => b.priority - a.priority || a.createdOn - b.createdOn || (a.id < b.id ? -1 : 1));
  return all.map(({ row }) => row);
}

/** Positions, from 1, of those queues of $1 that have a ready message, in order. One text for all: of many queues, planning costs most. */
export function readyStatement(schema: string): Statement {
  const rows = ready(`${schema}.job`, "q.name", "1", "1", { lock: "" });
  const sql = statement("ready", `SELECT q.k::int FROM unnest($1::text[]) WITH ORDINALITY AS q(name, k) WHERE EXISTS (${rows}) ORDER BY k`);
  return { ...sql, isLarge: true };
}

/** Whether any of these queues has a ready message; and the epoch of control. */
export function anyReadyStatement(schema: string, queues: readonly QueueInfo[]): Statement {
  const arms = queues.map((queue) => `EXISTS (${ready(`${schema}.${queue.table}`, pg.escapeLiteral(queue.name), "1", "1", { lock: "" })})`);
  return { ...statement("any_ready", `SELECT ${arms.join("\n OR ")}, ${controlEpoch(schema)}`), isLarge: queues.length > 1 };
}

/** Says the types of parameters that a variant of the statement does not use: PostgreSQL wants every one to have one. */
function typed(count: number): string {
  let text = "";
  for (let i = 0; i < count; i += PARAMETERS_OF_RECEIPTS) {
    const at = FIRST_QUEUE_PARAMETER + i;
    text += ` AND ($${at}::uuid[], $${at + 1}::int[], $${at + 2}::bigint[]) IS NOT NULL`;
  }
  return text;
}

const receipts = (cte: string, table: string, name: string, parameter: number): string => {
  const given = `unnest($${parameter}::uuid[], $${parameter + 1}::int[], $${parameter + 2}::bigint[]) WITH ORDINALITY AS a(id, rc, claim, i)`;
  return `${cte} AS MATERIALIZED (${current(table, name, "a.rc, a.i", given)})`;
};

const deletion = (table: string, cte: string): string =>
  `DELETE FROM ${table} AS j USING ${cte} AS r WHERE ${fence("j", "r")} AND j.singleton_key IS NULL RETURNING r.i`;

/** The row stays as the memory of its idempotency key. */
const completion = (table: string, cte: string): string =>
  `UPDATE ${table} AS j SET state = 'completed', completed_on = now(), heartbeat_on = NULL, output = NULL FROM ${cte} AS r
       WHERE ${fence("j", "r")} AND j.singleton_key IS NOT NULL RETURNING r.i`;

function acknowledged(block: number, cte: string, parameter: number): string {
  return `SELECT ${block}, NULL, NULL, NULL, NULL, NULL,
         CASE WHEN count(*) = cardinality($${parameter}::uuid[]) THEN NULL ELSE coalesce(array_agg(i), '{}')::text END, NULL, NULL FROM ${cte}`;
}

/**
 * Claims from queue k: `p`, the rows, and then `c`, which makes them active, or `d`, which takes them out, and `i`, which
 * stores them as a bundle.
 *
 * `ctid = ANY (ARRAY (…))`: the only form that no planner turns into a comparison of the batch with the whole backlog.
 * It is right because the rows are locked by this very statement. Started before: this is another delivery, and the
 * fence rises. `claimedBy` is what a reaper looks for, `claim` what we look for when the answer to this one is lost.
 */
function claim(k: number, schema: string, queue: QueueInfo, { bundles, bounded }: { bundles: boolean; bounded: boolean }): string[] {
  const table = `${schema}.${queue.table}`;
  const name = pg.escapeLiteral(queue.name);
  const picked = (condition: string): string => `ctid = ANY (ARRAY (SELECT tid FROM p${k}${condition}))`;
  const rows = pick(k, table, name, bundles ? FITS_BUNDLE : undefined, { bounded, passesMarked: true });
  if (!bundles) return [...rows, `c${k} AS (${activation(table, picked(""))})`];
  return [
    ...rows,
    `g${k} AS MATERIALIZED (SELECT coalesce(bool_and(small), false) AS small FROM p${k})`,
    `c${k} AS (${activation(table, picked(` WHERE NOT (SELECT small FROM g${k})`))})`,
    `d${k} AS (${taking(table, picked(` WHERE (SELECT small FROM g${k})`))})`,
    `o${k} AS MATERIALIZED (${gathered(`d${k}`)})`,
    `i${k} AS (${bundled(schema, name, `o${k}`)} RETURNING 1)`,
  ];
}

/** Claims from all of them as bundles: `p` and `d` of each queue as above, one `g`, `o` and `i`. */
function together(schema: string, queues: readonly QueueInfo[]): string[] {
  const parts = queues.flatMap(({ name, table }, k) => pick(k, `${schema}.${table}`, pg.escapeLiteral(name), FITS_BUNDLE, TOGETHER));
  const all = (of: string, columns: string): string =>
    queues.map((_, k) => `SELECT ${k} AS k, ${columns} FROM ${of}${k}`).join(" UNION ALL ");
  const taken = queues.map(
    ({ table }, k) =>
      `d${k} AS (${taking(`${schema}.${table}`, `ctid = ANY (ARRAY (SELECT tid FROM p${k} WHERE (SELECT small FROM g)))`)})`,
  );
  const names = queues.map(({ name }) => pg.escapeLiteral(name)).join(", ");
  return [
    ...parts,
    `g AS MATERIALIZED (SELECT coalesce(bool_and(small), true) AS small FROM (${all("p", "small")}) AS p)`,
    ...taken,
    `o AS MATERIALIZED (${gathered(`(${all("d", "*")}) AS d`, "k")})`,
    `i AS (${bundled(schema, `(ARRAY[${names}])[k + 1]`, "o")} RETURNING 1)`,
  ];
}

/** Takes rows out, to be bundled. */
const taking = (table: string, picked: string): string =>
  `DELETE FROM ${table} WHERE ${picked}
       RETURNING id, ${NEXT_FENCE} AS fence, priority, created_on, data::text AS record`;

const NEXT_FENCE = "CASE WHEN started_on IS NULL THEN retry_count ELSE retry_count + 1 END";

/** Makes rows active, for worker $1 by claim $3. */
const activation = (table: string, picked: string, returned = "id, retry_count, priority, singleton_key, data, created_on"): string =>
  `UPDATE ${table} SET state = 'active', started_on = now(), heartbeat_on = now(), retry_count = ${NEXT_FENCE},
         output = jsonb_build_object('claimedBy', $1::text, 'claim', $3::bigint)
       WHERE ${picked}
       RETURNING ${returned}`;

/** A claim that needs a place and has none looks for nothing. Not by way of its limit, which the planner must know. */
const REFUSED = "(SELECT refused FROM settings)";

/** Takes one of the two places of claims from these queues until the statement ends; SQL, false when both are taken. */
function place(schema: string, queues: readonly QueueInfo[]): string {
  const hash = createHash("sha1")
    .update(JSON.stringify([schema, queues.map(({ name }) => name).sort()]))
    .digest();
  const even = hash.readBigInt64BE() & ~1n;
  const take = (key: bigint): string => `pg_try_advisory_xact_lock('${key}'::bigint)`;
  return `(${take(even)} OR ${take(even | 1n)})`;
}

interface Picking {
  /** By a number of bytes as well. */
  readonly bounded: boolean;
  /** See `ready`. */
  readonly passesMarked: boolean;
}

/** Of many queues, to plan it costs more than it saves. */
const TOGETHER: Picking = { bounded: false, passesMarked: false };

/** The rows to claim from queue k, in `p`: where they are, and whether they are `small`, where that is asked. */
function pick(k: number, table: string, name: string, small: string | undefined, { bounded, passesMarked }: Picking): string[] {
  const [asked, passed] = small === undefined ? ["", ""] : [`, ${small} AS small`, ", small"];
  const scan = (limit: string): string =>
    ready(table, name, `ctid AS tid${asked}`, limit, { head: headOfQueue(k, passesMarked), unless: REFUSED });
  if (!bounded) {
    if (k === 0) return [`p0 AS MATERIALIZED (${scan("$2")})`];
    // Each reckons from the one before it: to plan a sum over all of those takes longer than to claim.
    const left = `SELECT ${k === 1 ? "$2" : `(SELECT n FROM n${k - 1})`} - count(*) AS n FROM p${k - 1}`;
    return [
      `n${k} AS MATERIALIZED (${left})`,
      `p${k} AS MATERIALIZED (${scan(`(SELECT CASE WHEN $9 > ${k} THEN n ELSE 0 END FROM n${k})`)})`,
    ];
  }
  const earlier = Array.from({ length: k }, (_, j) => j);
  const taken = earlier.map((j) => `(SELECT count(*) FROM p${j})`);
  // An earlier queue that was cut off by the bytes still has messages: nothing of a later one may be taken then.
  const cut = earlier.map((j) => `(SELECT count(*) FROM l${j}) > (SELECT count(*) FROM p${j})`);
  const limit = k === 0 ? "$2" : `(SELECT CASE WHEN ${cut.join(" OR ")} THEN 0 ELSE $2 - (${taken.join(" + ")}) END)`;
  const spent = k === 0 ? "0" : earlier.map((j) => `(SELECT coalesce(sum(size), 0) FROM p${j})`).join(" + ");
  const first = k === 0 ? "i = 1" : `(i = 1 AND ${taken.join(" + ")} = 0)`;
  return [
    `l${k} AS MATERIALIZED (${ready(table, name, `ctid AS tid, priority, created_on, id, ${SIZE} AS size${asked}`, limit, { unless: REFUSED })})`,
    `p${k} AS MATERIALIZED (SELECT tid, size${passed} FROM (
         SELECT tid, size${passed}, row_number() OVER w AS i, sum(size) OVER w AS total FROM l${k}
         WINDOW w AS (ORDER BY priority DESC, created_on, id ROWS UNBOUNDED PRECEDING)) AS s
       WHERE ${first} OR total + ${spent} <= $4)`,
  ];
}

/** Bytes of a record, without unpacking one that is not packed: then its size as stored is near enough. */
const SIZE = "CASE WHEN pg_column_compression(data) IS NULL THEN coalesce(pg_column_size(data), 4) ELSE octet_length(data::text) END";
