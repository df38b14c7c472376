import { OptionsError } from "@symphony/core";
import type pg from "pg";
import type { BossDatabase } from "./boss.ts";
import type { Queryable, Row } from "./connection.ts";

/** The transaction of a caller that is no client of `pg`: one of pg-boss's adapters, around what a library calls a transaction. */
export class AdaptedTransaction implements Queryable {
  readonly adapter: BossDatabase;

  constructor(adapter: BossDatabase) {
    this.adapter = adapter;
  }

  /** Rows come as objects; every column of our statements has a name of its own, and they keep their order. */
  async query({ text, values }: pg.QueryArrayConfig): Promise<{ rows: Row[] }> {
    const { rows } = (await this.adapter.executeSql(text, values ?? [])) as { rows: readonly object[] };
    return { rows: rows.map((row) => Object.values(row) as Row) };
  }
}

/** @throws {OptionsError} when it is neither a client nor an adapter. */
export function toQueryable(transaction: unknown): Queryable {
  const given = transaction as { query?: unknown; executeSql?: unknown } | null | undefined;
  if (typeof given?.executeSql === "function") return new AdaptedTransaction(transaction as BossDatabase);
  if (typeof given?.query === "function") return transaction as Queryable;
  throw new OptionsError(
    "transaction",
    transaction,
    "must be a client of pg, or fromKnex(trx), fromKysely(trx), fromDrizzle(tx, sql) or fromPrisma(tx)",
  );
}
