import { UNDO_AT_ONCE } from "@symphony/core";
import pg from "pg";
import type { Database } from "./connection.ts";
import { TRASH_TABLE } from "./statements.ts";

/**
 * A statement that deletes messages and resolves with their ids; in an audited action it keeps them in the trash.
 *
 * @param deletion - `DELETE FROM table d WHERE …`, without RETURNING; the alias must be `d`.
 * @param values - Its parameters.
 * @param columns - What it resolves with.
 */
export function removing(
  database: Database,
  schema: string,
  table: string,
  deletion: string,
  values: readonly unknown[],
  columns = "id::text",
) {
  const action = database.action;
  if (action === undefined) return { text: `${deletion} RETURNING ${columns}`, values: [...values] };
  return {
    text: `WITH gone AS (${deletion} RETURNING d.*),
      kept AS (INSERT INTO ${schema}.${TRASH_TABLE} (audit_id, source, id, job)
        SELECT $${values.length + 1}::uuid, ${pg.escapeLiteral(table)}, g.id, to_jsonb(g) FROM gone g)
      SELECT ${columns} FROM gone`,
    values: [...values, action],
  };
}

export interface BroughtBack {
  readonly restored: number;
  readonly conflicts: number;
  /** With something to do again. */
  readonly queues: readonly string[];
}

/** Puts what an action removed back to where it was. Must run in a transaction. */
export async function bringBack(database: Database, schema: string, trash: string, action: string): Promise<BroughtBack> {
  const doing = "bringing messages back";
  // A queue that is gone has no table any more: its messages stay in the trash, and count as conflicts.
  const sources = await database.run(
    {
      name: "",
      text: `SELECT t.source, max(q.name), count(*) FILTER (WHERE ${IS_MESSAGE})::int FROM ${trash} t
        LEFT JOIN ${schema}.queue q ON q.table_name = t.source AND q.partition WHERE t.audit_id = $1::uuid GROUP BY t.source`,
    },
    [action],
    doing,
  );
  let restored = 0;
  let all = 0;
  const queues: string[] = [];
  for (const [source, queue, count] of sources as [string, string | null, number][]) {
    all += count;
    if (queue === null || restored >= UNDO_AT_ONCE) continue;
    const text = restore(schema, source, trash, UNDO_AT_ONCE - restored);
    const [row] = await database.run({ name: "", text }, [action, source], doing);
    restored += row?.[0] as number;
    queues.push(queue);
  }
  return { restored, conflicts: Math.max(0, Math.min(all, UNDO_AT_ONCE) - restored), queues };
}

/** Not the row that only remembers the idempotency key of one: that one is not counted. */
const IS_MESSAGE = "t.job ->> 'state' <> 'cancelled'";

/** A row comes back whole, in the columns that the table has now. */
const restore = (schema: string, table: string, trash: string, limit: number): string =>
  `WITH taken AS MATERIALIZED (
     SELECT t.id, t.job FROM ${trash} t WHERE t.audit_id = $1::uuid AND t.source = $2::text
       AND NOT EXISTS (SELECT 1 FROM ${schema}.${table} j WHERE j.id = t.id) LIMIT ${limit} FOR UPDATE OF t),
   back AS (
     INSERT INTO ${schema}.${table} SELECT j.* FROM taken, LATERAL jsonb_populate_record(NULL::${schema}.${table}, taken.job) j
     ON CONFLICT DO NOTHING RETURNING id, state),
   gone AS (DELETE FROM ${trash} t USING back b WHERE t.audit_id = $1::uuid AND t.source = $2::text AND t.id = b.id)
   SELECT count(*) FILTER (WHERE state <> 'cancelled')::int FROM back`;
