import type { StoreMeasures } from "@symphony/core";
import pg from "pg";
import { type Database, type Statement, statement } from "./connection.ts";

/**
 * Asks PostgreSQL how it is. Everything is read from its own statistics and from the list of queues: no row of a job table
 * is looked at. A role without `pg_read_all_stats` does not see how old the transactions of other roles are.
 */
export class StoreProbe {
  readonly #database: Database;
  readonly #measure: Statement;

  constructor(database: Database, schema: string) {
    this.#database = database;
    this.#measure = statement("measure", measureOf(schema));
  }

  async measure(): Promise<StoreMeasures> {
    const [row] = await this.#database.run(this.#measure, [], "measuring the store");
    const [connections, maxConnections, oldestTransactionMs, horizonAge, deadRows, retentionMs] = row as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { connections, maxConnections, oldestTransactionMs, horizonAge, deadRows, retentionMs };
  }
}

const measureOf = (schema: string): string => `SELECT
  (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
  current_setting('max_connections')::int,
  (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 * 1000
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  (SELECT coalesce(max(age), 0)::int FROM (
     SELECT age(backend_xmin) AS age FROM pg_stat_activity WHERE pid <> pg_backend_pid()
     UNION ALL SELECT greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
     UNION ALL SELECT age(transaction) FROM pg_prepared_xacts) AS holders),
  (SELECT coalesce(sum(n_dead_tup), 0)::float8 FROM pg_stat_user_tables WHERE schemaname = ${pg.escapeLiteral(schema)}),
  (SELECT coalesce(min(retention_seconds), 2000000000)::float8 * 1000 FROM ${pg.escapeIdentifier(schema)}.queue)`;
