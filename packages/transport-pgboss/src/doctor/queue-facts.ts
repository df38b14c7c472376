import pg from "pg";
import { LEFT } from "../bundle-statements.ts";
import type { Database } from "../connection.ts";
import type { QueueInfo } from "../queues.ts";
import { BUNDLE_TABLE, WORKER_TABLE } from "../statements.ts";

/** What the catalogues and statistics say of the table of one queue. */
export interface QueueTable {
  readonly queue: string;
  readonly table: string;
  readonly retentionSeconds: number;
  readonly deletionSeconds: number;
  readonly isLogged: boolean;
  readonly isVacuumed: boolean;
  readonly liveRows: number;
  readonly deadRows: number;
  readonly bytes: number;
  /** RFC 3339 */
  readonly lastVacuumAt: string | null;
  /** Transactions since the oldest row was frozen. */
  readonly age: number;
}

/** An index of our schema that PostgreSQL does not use, or that is far larger than its rows need. */
export interface BadIndex {
  readonly index: string;
  readonly table: string;
  readonly isValid: boolean;
  readonly bytes: number;
  readonly rows: number;
}

/** Deliveries that nobody seems to work on. Counted up to a limit. */
export interface StuckDeliveries {
  readonly queue: string;
  /** Held by workers that no longer exist. */
  readonly abandoned: number;
  /** In flight for longer than the limit. */
  readonly slow: number;
  readonly oldestMs: number;
}

const COUNTED = 1_000;
/** Bytes of an index entry of ours, generously, and what an index may have beyond what its rows need. */
const ENTRY_BYTES = 120;
const SLACK = 8;
const SMALLEST_BYTES = 64 * 1_048_576;

export async function readQueueTables(database: Database, schema: string): Promise<readonly QueueTable[]> {
  const text = `SELECT q.name, q.table_name, coalesce(q.retention_seconds, 0), coalesce(q.deletion_seconds, 0), c.relpersistence = 'p',
      NOT coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false), coalesce(s.n_live_tup, 0)::float8, coalesce(s.n_dead_tup, 0)::float8,
      pg_table_size(c.oid)::float8, to_char(greatest(s.last_vacuum, s.last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), age(c.relfrozenxid)
    FROM ${schema}.queue q JOIN pg_class c ON c.oid = to_regclass($1 || '.' || q.table_name) LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    WHERE left(q.name, 2) <> '__' ORDER BY q.name`;
  const rows = await database.run({ name: "", text }, [schema], "examining the queues");
  return rows.map((row) => {
    const [queue, table, retention, deletion, isLogged, isVacuumed, liveRows, deadRows, bytes, lastVacuumAt, age] = row as [
      string,
      string,
      number,
      number,
      boolean,
      boolean,
      number,
      number,
      number,
      string | null,
      number,
    ];
    const numbers = { retentionSeconds: Number(retention), deletionSeconds: Number(deletion), liveRows, deadRows, bytes, age };
    return { queue, table, isLogged, isVacuumed, lastVacuumAt, ...numbers };
  });
}

export async function readBadIndexes(database: Database, schema: string): Promise<readonly BadIndex[]> {
  const text = `SELECT i.relname, t.relname, x.indisvalid, pg_relation_size(i.oid)::float8, coalesce(s.n_live_tup, 0)::float8
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
      LEFT JOIN pg_stat_all_tables s ON s.relid = t.oid
    WHERE n.nspname = $1 AND i.relkind = 'i' AND (NOT x.indisvalid
      OR pg_relation_size(i.oid) > ${SMALLEST_BYTES} + ${SLACK * ENTRY_BYTES} * coalesce(s.n_live_tup, 0)) ORDER BY i.relname LIMIT 50`;
  const rows = await database.run({ name: "", text }, [schema], "examining the indexes");
  return rows.map((row) => {
    const [index, table, isValid, bytes, live] = row as [string, string, boolean, number, number];
    return { index, table, isValid, bytes, rows: live };
  });
}

/** Reads the bundles, and the index of what else is in flight, of it no more than a thousand entries per queue. */
export async function readStuck(
  database: Database,
  schema: string,
  queues: readonly QueueInfo[],
  limits: { handlingMs: number },
): Promise<readonly StuckDeliveries[]> {
  const found: StuckDeliveries[] = [];
  for (const queue of queues) {
    const known = (worker: string): string => `EXISTS (SELECT 1 FROM ${schema}.${WORKER_TABLE} w WHERE w.worker_id = ${worker}) AS known`;
    const age = (time: string): string => `extract(epoch FROM clock_timestamp() - ${time})::float8 * 1000 AS ms`;
    const name = pg.escapeLiteral(queue.name);
    const text = `SELECT coalesce(sum(n) FILTER (WHERE NOT known), 0)::int, coalesce(sum(n) FILTER (WHERE known AND ms > $1::float8), 0)::int,
        coalesce(max(ms), 0)::float8
      FROM ((SELECT 1 AS n, ${known("j.output ->> 'claimedBy'")}, ${age("started_on")}
          FROM ${schema}.${queue.table} j WHERE name = ${name} AND state = 'active' ORDER BY started_on LIMIT ${COUNTED})
        UNION ALL (SELECT ${LEFT}, ${known("b.worker_id")}, ${age("b.claimed_at")} FROM ${schema}.${BUNDLE_TABLE} b WHERE b.queue = ${name} LIMIT ${COUNTED})) AS a
      WHERE known OR ms > 30000`;
    const [row] = await database.run({ name: "", text }, [limits.handlingMs], "looking for stuck messages");
    const [abandoned, slow, oldestMs] = row as [number, number, number];
    if (abandoned > 0 || slow > 0) found.push({ queue: queue.name, abandoned, slow, oldestMs });
  }
  return found;
}
