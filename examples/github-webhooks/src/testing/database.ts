import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { acquire } from "@symphony/embedded-postgres";
import pg from "pg";

/** The directory that `npm start` uses, so that everything in a checkout shares one server. */
const DIRECTORY = fileURLToPath(new URL("../../../../.symphony/postgres", import.meta.url));

/** `DATABASE_URL`, or the embedded PostgreSQL of this checkout. */
async function openServer(): Promise<{ readonly connectionString: string; release(): Promise<void> }> {
  const given = process.env.DATABASE_URL;
  if (given !== undefined && given !== "") return { connectionString: given, release: async () => undefined };
  return acquire({ directory: DIRECTORY });
}

/** A new database for one test; dropped when the test has passed, kept to look at when it has not. */
export async function withDatabase(work: (connectionString: string, pool: pg.Pool) => Promise<void>): Promise<void> {
  const server = await openServer();
  const name = `symphony_example_${randomBytes(6).toString("hex")}`;
  const url = new URL(server.connectionString);
  url.pathname = `/${name}`;
  try {
    await run(server.connectionString, `create database ${name}`);
    const pool = new pg.Pool({ connectionString: url.href, max: 1 });
    // Between two questions the server may be restarted by a test of somebody else; the next question connects again.
    pool.on("error", () => undefined);
    try {
      await work(url.href, pool);
    } finally {
      await pool.end();
    }
    await run(server.connectionString, `drop database ${name} with (force)`);
  } finally {
    await server.release();
  }
}

async function run(connectionString: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
