import type pg from "pg";
import { FAILED_TRIGGER } from "./failed-trigger.ts";
import { FLUSH_SEQUENCE } from "./flush.ts";
import { FORGET_AUDIT } from "./forget-audit.ts";
import { KEYED_TRIGGER } from "./keyed-queues.ts";
import { OWN_TABLES } from "./queue-layout.ts";

/** What set-up finds of one queue. */
export interface QueueState {
  readonly name: string;
  readonly table: string;
  readonly partitioned: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  /** `n_distinct` of `name` is fixed and there are statistics. */
  readonly cured: boolean;
  /** Under a megabyte. */
  readonly small: boolean;
  /** Valid indexes of the table, by suffix. */
  readonly indexes: ReadonlySet<string>;
  readonly invalidIndexes: ReadonlySet<string>;
  readonly storage: ReadonlySet<string>;
  /** Has the triggers that keys need. */
  readonly keyed: boolean;
  /** Has the trigger that names the queue of dead letters in a row that fails. */
  readonly namesDeadLetters: boolean;
}

export interface SchemaState {
  /** Null: pg-boss is not installed in this schema. */
  readonly version: number | null;
  /** Tables of our own that are not there. */
  readonly missingTables: readonly string[];
  /** The function that forgets old records of actions is not there. */
  readonly lacksForgetting: boolean;
  /** The sequence of `flush` is not there, and this role may make it. */
  readonly lacksFlush: boolean;
  readonly queues: ReadonlyMap<string, QueueState>;
}

const TABLES = `SELECT to_regclass($1 || '.version') IS NOT NULL AS boss,
  ARRAY (SELECT name FROM unnest($2::text[]) AS t(name) WHERE to_regclass($1 || '.' || name) IS NULL) AS missing,
  to_regprocedure($1 || '.${FORGET_AUDIT}()') IS NULL AS lacks,
  to_regclass($1 || '.${FLUSH_SEQUENCE}') IS NULL AND coalesce(has_schema_privilege(to_regnamespace($1)::oid, 'CREATE'), true) AS lacks_flush`;

/** Catalogues only: no lock that anybody could feel, no table of messages read. */
const queuesSql = (schema: string): string => `
  SELECT q.name, q.table_name, q.partition,
    json_build_object('retryLimit', q.retry_limit, 'retryDelay', q.retry_delay, 'retryBackoff', q.retry_backoff, 'expireInSeconds', q.expire_seconds,
      'retentionSeconds', q.retention_seconds, 'deleteAfterSeconds', q.deletion_seconds, 'deadLetter', q.dead_letter) AS options,
    coalesce((SELECT 'n_distinct=1' = ANY (a.attoptions) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'name'), false)
      AND EXISTS (SELECT 1 FROM pg_stats s WHERE s.schemaname = $1 AND s.tablename = q.table_name AND s.attname = 'name') AS cured,
    ARRAY (SELECT substr(ic.relname, length(q.table_name) + 1) FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid AND x.indisvalid) AS indexes,
    ARRAY (SELECT substr(ic.relname, length(q.table_name) + 1) FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid AND NOT x.indisvalid) AS invalid,
    EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '${KEYED_TRIGGER}') AS keyed,
    EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '${FAILED_TRIGGER}') AS names_dead_letters,
    coalesce(c.reloptions, '{}') AS storage, coalesce(pg_relation_size(c.oid), 0) < 1048576 AS small
  FROM ${schema}.queue q
    LEFT JOIN pg_class c ON c.oid = to_regclass($1 || '.' || q.table_name)
  WHERE q.name = ANY ($2::text[])`;

interface QueueRow {
  name: string;
  table_name: string;
  partition: boolean;
  options: Record<string, unknown>;
  cured: boolean;
  indexes: string[];
  invalid: string[];
  storage: string[];
  small: boolean;
  keyed: boolean;
  names_dead_letters: boolean;
}

export async function readSchemaState(client: pg.ClientBase | pg.Pool, schema: string, names: readonly string[]): Promise<SchemaState> {
  const own = Object.keys(OWN_TABLES);
  const { rows } = await client.query<{ boss: boolean; missing: string[]; lacks: boolean; lacks_flush: boolean }>(TABLES, [schema, own]);
  const [found] = rows;
  const none: SchemaState = {
    version: null,
    missingTables: found?.missing ?? own,
    lacksForgetting: found?.lacks ?? true,
    lacksFlush: found?.lacks_flush ?? true,
    queues: new Map(),
  };
  if (found?.boss !== true) return none;
  const version = (await client.query<{ version: number }>(`SELECT version FROM ${schema}.version`)).rows[0]?.version ?? null;
  if (version === null) return none;
  const queues = await client.query<QueueRow>(queuesSql(schema), [schema, names]);
  return { ...none, version, queues: new Map(queues.rows.map((row) => [row.name, toQueueState(row)])) };
}

function toQueueState(row: QueueRow): QueueState {
  return {
    name: row.name,
    table: row.table_name,
    partitioned: row.partition,
    options: row.options,
    cured: row.cured,
    small: row.small,
    indexes: new Set(row.indexes),
    invalidIndexes: new Set(row.invalid),
    storage: new Set(row.storage),
    keyed: row.keyed,
    namesDeadLetters: row.names_dead_letters,
  };
}
