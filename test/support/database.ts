import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { acquire } from "@symphony/embedded-postgres";
import pg from "pg";

/** The same directory as `npm start` uses, so that all suites of a checkout share one server. */
export const EMBEDDED_DIRECTORY = fileURLToPath(new URL("../../.symphony/postgres", import.meta.url));

export interface Server {
  /** For a role that may create databases. */
  readonly connectionString: string;
  release(): Promise<void>;
}

export interface Database {
  readonly name: string;
  readonly connectionString: string;
  /** Runs one statement on a pool of this process; what a test uses to look behind the scenes. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Runs a statement in a transaction that stays open until it is released: for locks. */
  hold(text: string): Promise<{ release(): Promise<void> }>;
  /** Disconnects; drops the database when `keep` is false. */
  close(options: { keep: boolean }): Promise<void>;
}

/** `DATABASE_URL`, else the embedded PostgreSQL of this checkout. */
export async function sharedServer(): Promise<Server> {
  const given = process.env.DATABASE_URL;
  if (given !== undefined && given !== "") return { connectionString: given, release: () => Promise.resolve() };
  const embedded = await acquire({ directory: EMBEDDED_DIRECTORY });
  return { connectionString: embedded.connectionString, release: () => embedded.release() };
}

/**
 * A new database on the server, empty or a copy of `template`, which nobody may be connected to. Its name is random, so that
 * suites can run beside each other.
 */
export async function createDatabase(
  server: { readonly connectionString: string },
  options: { readonly template?: string } = {},
): Promise<Database> {
  const name = `symphony_test_${randomBytes(6).toString("hex")}`;
  await once(server.connectionString, `CREATE DATABASE ${name}${options.template === undefined ? "" : ` TEMPLATE ${options.template}`}`);
  const connectionString = withDatabase(server.connectionString, name);
  const pool = new pg.Pool({ connectionString, max: 2, application_name: "symphony-test" });
  // An idle client whose server was killed on purpose; the next query gets a new one.
  pool.on("error", () => undefined);
  return {
    name,
    connectionString,
    async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
      return (await pool.query<Row>(text, [...values])).rows;
    },
    async hold(text) {
      const client = await pool.connect();
      await client.query("BEGIN");
      await client.query(text);
      return {
        async release() {
          await client.query("ROLLBACK");
          client.release();
        },
      };
    },
    async close({ keep }): Promise<void> {
      await pool.end();
      if (!keep) await once(server.connectionString, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/** The connection string for another database of the same server. */
function withDatabase(connectionString: string, name: string): string {
  const url = new URL(connectionString);
  url.pathname = `/${name}`;
  return url.toString();
}

/** The connection string for another address, such as a proxy in front of the same server. */
export function withAddress(connectionString: string, host: string, port: number): string {
  const url = new URL(connectionString);
  url.hostname = host;
  url.port = String(port);
  return url.toString();
}

async function once(connectionString: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString, application_name: "symphony-test" });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
