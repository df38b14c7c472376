import type { QueueCounts } from "@symphony/core";
import pg from "pg";
import { countBundled } from "./bundle-statements.ts";
import { type Database, type Statement, statement } from "./connection.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { COUNTER_TABLE } from "./statements.ts";

/** Up to here rows are counted, beyond it numbers are estimated: a status must cost the same at ten rows and at ten million. */
const COUNTED = 10_000;
/** Queues in one statement. */
const TOGETHER = 20;

/** What the counting statement finds of one queue. */
interface Counted {
  readonly queue: string;
  /** What a pause of its type holds back included. */
  readonly due: number;
  /** Among the due by their place in the index, put off by pg-boss itself. */
  readonly putOff: number;
  readonly later: number;
  readonly active: number;
  readonly failed: number;
  readonly completed: number;
  readonly oldestMs: number | null;
  /** Rows that only remember an idempotency key. */
  readonly kept: number;
  /** All rows, as the server counts them. */
  readonly rows: number;
}

const isCut = (count: number): boolean => count > COUNTED;

/** Tells how much is where. Every count reads an index and stops at a limit. */
export class Inspector {
  readonly #database: Database;
  readonly #queues: QueueDirectory;
  readonly #schema: string;
  readonly #statements = new Map<string, Statement>();

  constructor(database: Database, queues: QueueDirectory, schema: string) {
    this.#database = database;
    this.#queues = queues;
    this.#schema = schema;
  }

  async counts(): Promise<readonly QueueCounts[]> {
    const dead = await this.#queues.deadLetters();
    const rows = await this.#each("counts", (queue) => countsOf(this.#schema, queue, dead), "counting messages");
    const counted = await this.#withFailed(rows.map(toCounted), dead);
    const counts: QueueCounts[] = [];
    for (const row of counted) counts.push(await this.#toCounts(row));
    return [...counts, ...(await this.#foreign(dead))];
  }

  /** Dead letters that are kept for other transports, under the name that their queues have here. */
  async #foreign(dead: QueueInfo): Promise<readonly QueueCounts[]> {
    const rows = await this.#database.run(foreignCounts(this.#schema, dead), [], "counting messages");
    return rows.map(([queue, failed]) => ({
      ...{ queue: queue as string, ready: 0, scheduled: 0, active: 0, failed: failed as number, completed: 0, oldestReadyAgeMs: null },
      accuracy: isCut(failed as number) ? "estimated" : "exact",
    }));
  }

  /**
   * Dead letters of queues that have too many to count: of all that the server knows of, those of the other queues are taken
   * away, and the rest is divided by the planner's statistics.
   */
  async #withFailed(rows: readonly Counted[], dead: QueueInfo): Promise<readonly Counted[]> {
    const many = rows.filter(({ failed }) => isCut(failed));
    if (many.length === 0) return rows;
    const table = `${this.#schema}.${dead.table}`;
    const [all] = await this.#database.run(
      { name: "", text: `SELECT pg_stat_get_live_tuples(${pg.escapeLiteral(table)}::regclass)` },
      [],
      "estimating dead letters",
    );
    const rest = Number(all?.[0] ?? 0) - rows.reduce((sum, { failed }) => sum + (isCut(failed) ? 0 : failed), 0);
    const planned = await Promise.all(many.map(({ queue }) => this.#planned(`${table} WHERE source_name = ${pg.escapeLiteral(queue)}`)));
    const sum = planned.reduce((total, each) => total + each, 0);
    const shares = new Map(many.map(({ queue }, i) => [queue, sum === 0 ? 1 / many.length : (planned[i] ?? 0) / sum]));
    return rows.map((row) => ({ ...row, failed: Math.max(row.failed, Math.round(rest * (shares.get(row.queue) ?? 0))) }));
  }

  async depth(): Promise<number> {
    const rows = await this.#each("depth", (queue) => depthOf(this.#schema, queue), "counting messages");
    if (rows.some(([, due, waiting]) => isCut((due as number) + (waiting as number)))) {
      return (await this.counts()).reduce((sum, each) => sum + each.ready, 0);
    }
    return rows.reduce((sum, [, due]) => sum + (due as number), 0);
  }

  async #toCounts(row: Counted): Promise<QueueCounts> {
    const { queue, due, putOff, later, active, failed, completed, oldestMs, kept } = row;
    const scheduled = isCut(later) ? Math.max(later, await this.#share(row, "created_on > now()")) : later;
    const counts = {
      queue,
      ready: due,
      scheduled: scheduled + putOff,
      active,
      failed,
      completed,
      oldestReadyAgeMs: oldestMs === null ? null : Math.max(0, Math.round(oldestMs)),
    };
    const cut = [due + putOff, later, active, failed].some(isCut);
    if (!cut) return { ...counts, accuracy: "exact" };
    if (!isCut(due + putOff)) return { ...counts, accuracy: "estimated" };
    // Of a long queue: all rows, of which the server keeps count as they come and go, without those in another state.
    const remembered = isCut(kept) ? Math.max(kept, await this.#share(row, "completed_on IS NOT NULL")) : kept;
    return { ...counts, ready: Math.max(due, row.rows - counts.scheduled - active - remembered), accuracy: "estimated" };
  }

  /** How many rows of a queue fulfil a condition, by the planner's statistics. */
  async #share({ queue, rows }: Counted, condition: string): Promise<number> {
    const table = `${this.#schema}.${(await this.#queues.get(queue)).table}`;
    const [some, all] = await Promise.all([this.#planned(`${table} WHERE ${condition}`), this.#planned(table)]);
    return all === 0 ? 0 : Math.round((some / all) * rows);
  }

  async #planned(from: string): Promise<number> {
    const found = await this.#database.run({ name: "", text: `EXPLAIN (FORMAT JSON) SELECT 1 FROM ${from}` }, [], "estimating messages");
    return (found[0]?.[0] as [{ Plan: { "Plan Rows": number } }] | undefined)?.[0].Plan["Plan Rows"] ?? 0;
  }

  async #each(label: string, make: (queue: QueueInfo) => string, doing: string): Promise<(readonly unknown[])[]> {
    const queues = await this.#queues.all();
    const rows: (readonly unknown[])[] = [];
    for (let i = 0; i < queues.length; i += TOGETHER) {
      const some = queues.slice(i, i + TOGETHER);
      const key = `${label} ${some.map((queue) => queue.name).join()}`;
      const sql = this.#statements.get(key) ?? statement(label, some.map(make).join("\n UNION ALL "));
      this.#statements.set(key, sql);
      rows.push(...(await this.#database.run(sql, [], doing)));
    }
    return rows;
  }
}

function toCounted(row: readonly unknown[]): Counted {
  const [queue, due, putOff, later, active, failed, completed, oldestMs, kept, rows, heldBack] = row as [
    string,
    number,
    number,
    number,
    number,
    number,
    string,
    number | null,
    number,
    string,
    number,
  ];
  return { queue, due: due + heldBack, putOff, later, active, failed, completed: Number(completed), oldestMs, kept, rows: Number(rows) };
}

const capped = (rows: string): string => `(SELECT count(*)::int FROM (${rows} LIMIT ${COUNTED + 1}) AS counted)`;

/** Held back since their type is paused. */
const held = (table: string, name: string): string =>
  capped(`SELECT 1 FROM ${table} WHERE blocked AND name = ${name} AND state < 'active'`);

/** From priority to priority, as the claim does it: rows for later lie behind a limit in the index. */
function perPriority(table: string, name: string, columns: string, condition: string, order: string): string {
  const waiting = `name = ${name} AND state < 'active' AND NOT blocked`;
  return `WITH RECURSIVE p(priority) AS (
       (SELECT priority FROM ${table} WHERE ${waiting} ORDER BY priority DESC LIMIT 1)
       UNION ALL
       SELECT (SELECT n.priority FROM ${table} n WHERE ${waiting} AND n.priority < p.priority ORDER BY n.priority DESC LIMIT 1)
       FROM p WHERE p.priority IS NOT NULL)
     SELECT r.* FROM p CROSS JOIN LATERAL (
       SELECT ${columns} FROM ${table} t WHERE ${waiting} AND t.priority = p.priority AND ${condition} ${order}) r
     WHERE p.priority IS NOT NULL`;
}

/** Due rows, and those among them that pg-boss itself has put off, which keep their place in its index. */
function head(table: string, name: string): string {
  const rows = perPriority(table, name, "start_after", "created_on <= now()", `ORDER BY created_on LIMIT ${COUNTED + 1}`);
  return `(SELECT count(*) FILTER (WHERE start_after <= now())::int AS due, count(*) FILTER (WHERE start_after > now())::int AS waiting
     FROM (SELECT * FROM (${rows}) AS ordered LIMIT ${COUNTED + 1}) AS counted)`;
}

function depthOf(schema: string, queue: QueueInfo): string {
  const table = `${schema}.${queue.table}`;
  const name = pg.escapeLiteral(queue.name);
  return `SELECT ${name}::text, h.due + ${held(table, name)}, h.waiting FROM ${head(table, name)} h`;
}

/** From name to name through the index of queues: few exist, however many dead letters they have. */
function foreignCounts(schema: string, dead: QueueInfo): Statement {
  const [table, name] = [`${schema}.${dead.table}`, pg.escapeLiteral(dead.name)];
  const next = (after: string): string =>
    `SELECT t.source_name FROM ${table} t WHERE t.name = ${name} AND ${after} ORDER BY t.source_name LIMIT 1`;
  return statement(
    "foreign_counts",
    `WITH RECURSIVE q(name) AS (
       (${next("t.source_name IS NOT NULL")})
       UNION ALL
       SELECT (${next("t.source_name > q.name")}) FROM q WHERE q.name IS NOT NULL)
     SELECT q.name, ${capped(`SELECT 1 FROM ${table} t WHERE t.name = ${name} AND t.source_name = q.name AND t.state::text IN ('created', 'retry', 'failed')`)}
     FROM q WHERE strpos(q.name, '/') > 0`,
  );
}

function countsOf(schema: string, queue: QueueInfo, dead: QueueInfo): string {
  const table = `${schema}.${queue.table}`;
  const name = pg.escapeLiteral(queue.name);
  const later = perPriority(table, name, "1", "created_on > now()", `LIMIT ${COUNTED + 1}`);
  const first = perPriority(table, name, "created_on", "created_on <= now() AND start_after <= now()", "ORDER BY created_on LIMIT 1");
  return `SELECT ${name}::text, h.due, h.waiting, ${capped(`SELECT * FROM (${later}) AS x`)},
     ${capped(`SELECT 1 FROM ${table} WHERE name = ${name} AND state = 'active'`)} + ${countBundled(schema, name)},
     ${capped(`SELECT 1 FROM ${schema}.${dead.table} WHERE name = ${pg.escapeLiteral(dead.name)} AND source_name = ${name} AND state::text IN ('created', 'retry', 'failed')`)},
     coalesce((SELECT handled FROM ${schema}.${COUNTER_TABLE} WHERE queue = ${name}), 0),
     (SELECT extract(epoch FROM now() - min(created_on))::float8 * 1000 FROM (${first}) AS x),
     ${capped(`SELECT 1 FROM ${table} WHERE completed_on IS NOT NULL`)},
     pg_stat_get_live_tuples(${pg.escapeLiteral(table)}::regclass),
     ${held(table, name)}
   FROM ${head(table, name)} h`;
}
