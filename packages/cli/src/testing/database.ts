import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { acquire } from "@symphony/embedded-postgres";
import pg from "pg";

const DIRECTORY = fileURLToPath(new URL("../../.symphony/postgres", import.meta.url));

export interface TestDatabase {
  readonly url: string;
  query(sql: string, values?: unknown[]): Promise<readonly Record<string, unknown>[]>;
}

/** A database of one's own, on `DATABASE_URL`'s server or on an embedded one; dropped after the test. */
export async function testDatabase(t: TestContext): Promise<TestDatabase> {
  const server = process.env.DATABASE_URL === undefined ? await acquire({ directory: DIRECTORY }) : undefined;
  const serverUrl = server?.connectionString ?? process.env.DATABASE_URL ?? "";
  const name = `symphony_cli_${randomBytes(6).toString("hex")}`;
  await onServer(serverUrl, (client) => client.query(`CREATE DATABASE ${name}`));
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  t.after(async () => {
    await onServer(serverUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    await server?.release();
  });
  return {
    url: url.href,
    query: (sql, values) => onServer(url.href, async (client) => (await client.query<Record<string, unknown>>(sql, values)).rows),
  };
}

async function onServer<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
