import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { acquireEmbedded } from "./embedded.ts";
import { createPgBossTransport, transportFactory } from "./index.ts";
import { message, one, send } from "./testing/messages.ts";

test("works on the embedded PostgreSQL that a DSN asks for, and lets go of it when it closes", async () => {
  const schema = `t_${randomBytes(6).toString("hex")}`;
  const transport = await createPgBossTransport({ dsn: `embedded:?schema=${schema}` });
  const [id] = await send(transport, message("default", { n: 1 }));
  assert.equal((await one(transport, "default")).receipt.id, id);
  await transport.close();
  // Nothing of ours is connected any more, and the server answers whoever asks next.
  const server = await acquireEmbedded(undefined);
  const client = new pg.Client({ connectionString: server.connectionString });
  await client.connect();
  const { rows } = await client.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'symphony'");
  assert.deepEqual(rows, []);
  await client.query(`DROP SCHEMA ${schema} CASCADE`);
  await client.end();
  await server.release();
});

test("makes transports for the schemes that a configuration may name", () => {
  assert.deepEqual([...transportFactory.schemes], ["postgres", "postgresql", "pgboss", "embedded"]);
});
