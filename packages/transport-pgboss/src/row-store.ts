import type { Database } from "./connection.ts";
import type { Comparison, RowStore } from "./inserter.ts";
import { isKeyed, type OutgoingRow } from "./row-codec.ts";
import { compareRows, insertRows, reviveRows } from "./statements.ts";

/** Rows by our own statements: one round trip and one commit for messages of any queues. */
export function createFastRowStore(database: Database, schema: string): RowStore {
  const insert = insertRows(schema);
  const insertKeyed = insertRows(schema, true);
  const compare = compareRows(schema);
  const revive = reviveRows(schema);
  const ids = (rows: readonly (readonly unknown[])[]): ReadonlySet<string> => new Set(rows.map((row) => row[0] as string));
  return {
    insert: async (rows, on) => ids(await database.run(rows.some(isKeyed) ? insertKeyed : insert, [recordset(rows)], sending(rows), on)),
    revive: async (rows, on) => ids(await database.run(revive, [recordset(rows)], sending(rows), on)),
    compare: async (rows, on) => comparisons(rows, await database.run(compare, [recordset(rows)], sending(rows), on)),
  };
}

export const sending = (rows: readonly OutgoingRow[]): string => `sending ${rows.length} message${rows.length === 1 ? "" : "s"}`;

/** The text of the JSON recordset. `i` keeps the order, which decides the order of delivery among equals. */
export function recordset(rows: readonly OutgoingRow[]): string {
  return JSON.stringify(rows.map((row, i) => ({ i, ...row })));
}

export function comparisons(rows: readonly OutgoingRow[], found: readonly (readonly unknown[])[]): Comparison[] {
  const answers = new Array<Comparison>(rows.length);
  for (const each of found) {
    const [i, queueExists, idExists, same, expired, holder] = each as [number, boolean, boolean, boolean, boolean, string | null];
    answers[i] = { queueExists, idExists, same, expired, holder };
  }
  return answers;
}
