import { randomBytes } from "node:crypto";
import { acquire } from "@symphony/embedded-postgres";
import pg from "pg";

export interface TestDatabase extends AsyncDisposable {
  /** With a schema of its own. */
  readonly dsn: string;
  query<Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** A schema in the database of the tests, `DATABASE_URL` or the embedded one; gone with everything in it at the end. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const given = process.env.DATABASE_URL;
  const server = given === undefined || given === "" ? await acquire() : { connectionString: given, release: async () => undefined };
  const schema = `t_${randomBytes(6).toString("hex")}`;
  const separator = server.connectionString.includes("?") ? "&" : "?";
  const options = `schema=${schema}&application_name=${schema}&options=${encodeURIComponent(`-c search_path=${schema}`)}`;
  const pool = new pg.Pool({ connectionString: server.connectionString, max: 2 });
  pool.on("error", () => undefined);
  await pool.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.bookings (account text NOT NULL, message_id text NOT NULL)`);
  return {
    dsn: `${server.connectionString}${separator}${options}`,
    query: async <Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []) =>
      (await pool.query<Row>(sql.replaceAll("$schema", schema), [...values])).rows,
    async [Symbol.asyncDispose]() {
      await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await pool.end();
      await server.release();
    },
  };
}
