import { TransportError } from "@symphony/core";
import type { JobInsert } from "pg-boss";
import type { Database, Queryable } from "./connection.ts";
import type { RowStore } from "./inserter.ts";
import { bossDatabase, type PublicApi } from "./public-api.ts";
import type { QueueDirectory } from "./queues.ts";
import { isKeyed, type OutgoingRow } from "./row-codec.ts";
import { comparisons, flushBeside, recordset, sending } from "./row-store.ts";
import { compareRows, reviveRows } from "./statements.ts";

/** What PostgreSQL says to text that is no JSON. */
const INVALID_TEXT = "22P02";

/** Rows through pg-boss's `insert`: one statement per queue. */
export function createPortableRowStore(api: PublicApi, database: Database, schema: string, queues: QueueDirectory): RowStore {
  const compare = compareRows(schema);
  const revive = reviveRows(schema);
  return {
    insertNew: () => Promise.resolve(false),
    insert: async (rows, on) => {
      const stored = new Set<string>();
      for (const [queue, some] of Map.groupBy(rows, (row) => row.name)) {
        const jobs = some.map(toJob);
        const db = bossDatabase(on ?? database.main);
        const ids = await api.call(sending(some), async (boss) => {
          // pg-boss throws for a queue that does not exist; here it is an answer, which `compare` gives.
          if ((await boss.getQueue(queue)) === null) return [];
          return boss.insert(queue, jobs, { returnId: true, db });
        });
        for (const id of ids ?? []) stored.add(id);
      }
      return stored;
    },
    compare: async (rows, on) => {
      const found = comparisons(rows, await database.run(compare, [recordset(rows)], sending(rows), on));
      // By another sender, on the fast path.
      if (rows.some((row) => queues.peek(row.name)?.hasFlush)) await flushBeside(database, schema, rows, on);
      return found;
    },
    revive: async (rows, on: Queryable | undefined) =>
      new Set((await database.run(revive, [recordset(rows)], sending(rows), on)).map((row) => row[0] as string)),
  };
}

function toJob(row: OutgoingRow): JobInsert {
  const { id, priority, delay, at, key, part, single } = row;
  // By the names of the columns: `group` does not foresee a tier without an id.
  const group = isKeyed(row) ? { groupId: part ?? null, groupTier: single ?? null } : {};
  const startAfter = at === null ? delay / 1000 : new Date(at).toISOString();
  return { id, data: parse(row), priority, startAfter, ...(key === null ? {} : { singletonKey: key }), ...group };
}

function parse(row: OutgoingRow): object {
  try {
    return JSON.parse(row.data) as object;
  } catch (error) {
    const cause = Object.assign(new Error("the serializer made a record that is not JSON", { cause: error }), { code: INVALID_TEXT });
    throw new TransportError("TRANSPORT_FAILED", `PostgreSQL would refuse message ${row.id}: ${cause.message}`, { cause });
  }
}
