import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TransportError } from "@symphony/core";
import { PgBoss } from "pg-boss";
import { createPgBossTransport } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, send } from "./testing/messages.ts";

const url = await testDatabase();

/** A schema for one test. */
const fresh = (t: TestContext): TestSchema => new TestSchema(url, t);

const refusedWith = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof TransportError && error.code === code && text.test(error.message);

test("sets up once when twenty do it at the same moment", async (t) => {
  const schema = fresh(t);
  const queues = ["alpha", "beta", "gamma"];
  const transports = await Promise.all(Array.from({ length: 20 }, () => schema.open({ queues, poolSize: 1 })));
  for (const transport of transports.slice(0, 3)) assert.deepEqual(await transport.checkSetUp(), []);
  const rows = await schema.query<{ name: string; policy: string; partition: boolean; dead_letter: string | null }>(
    "SELECT name, policy, partition, dead_letter FROM $schema.queue WHERE left(name, 2) <> '__' ORDER BY name",
  );
  const expected = ["alpha", "beta", "failed", "gamma"].map((name) => ({
    name,
    policy: "standard",
    partition: true,
    dead_letter: name === "failed" ? null : "failed",
  }));
  assert.deepEqual(rows, expected);
});

test("says in a dry run what it would do, and does nothing", async (t) => {
  const schema = fresh(t);
  const transport = await schema.open({ autoSetup: "defer", queues: ["alpha"] });
  const steps = await transport.setUp({ dryRun: true });
  assert.match(steps.join("\n"), /CREATE TABLE IF NOT EXISTS \w+\.messenger_worker/);
  assert.match(steps.join("\n"), /create_queue\('alpha'/);
  assert.deepEqual(await schema.query("SELECT 1 FROM pg_namespace WHERE nspname = '$schema'"), []);
  const missing = await transport.checkSetUp();
  assert.equal(missing.length, steps.length);
  assert.ok((await transport.setUp()).length > steps.length, "queues that were made need care, which only then can be seen");
  assert.deepEqual(await transport.checkSetUp(), []);
  assert.deepEqual(await transport.setUp(), []);
});

test("asks for set-up instead of doing it when autoSetup is off", async (t) => {
  const schema = fresh(t);
  const open = (queues: string[]) => createPgBossTransport({ dsn: url, schema: schema.name, autoSetup: false, queues });
  await assert.rejects(open(["alpha"]), refusedWith("SCHEMA_VERSION_MISMATCH", /symphony setup/));
  await schema.open({ queues: ["alpha"] });
  await (await open(["alpha"])).close();
  await assert.rejects(open(["alpha", "beta"]), refusedWith("QUEUE_NOT_FOUND", /"beta".*symphony setup/));
});

test("refuses a schema that is newer than the code, and names both versions", async (t) => {
  const schema = fresh(t);
  await (await schema.open()).close();
  await schema.query("UPDATE $schema.version SET version = 99");
  await assert.rejects(schema.open(), refusedWith("SCHEMA_VERSION_MISMATCH", /version 99.*works with 43/));
});

test("refuses a schema that is older than the code when it may not migrate it", async (t) => {
  const schema = fresh(t);
  await (await schema.open()).close();
  await schema.query("UPDATE $schema.version SET version = 42");
  await assert.rejects(schema.open({ autoSetup: false }), refusedWith("SCHEMA_VERSION_MISMATCH", /from version 42 to 43/));
});

test("does not touch a busy database when nothing is missing", async (t) => {
  const schema = fresh(t);
  const transport = await schema.open();
  const busy = await schema.admin.connect();
  try {
    await busy.query("BEGIN");
    // What a worker or a long transaction holds: any DDL on these tables would wait for it.
    await busy.query(`LOCK TABLE ${schema.name}.job, ${schema.name}.job_common IN ROW EXCLUSIVE MODE`);
    assert.deepEqual(await transport.setUp(), []);
    await (await schema.open()).close();
  } finally {
    await busy.query("ROLLBACK");
    busy.release();
  }
});

test("repairs what is missing of a queue, also while it is in use", async (t) => {
  const schema = fresh(t);
  const transport = await schema.open({ queues: ["alpha"] });
  const [row] = await schema.query<{ table_name: string }>("SELECT table_name FROM $schema.queue WHERE name = 'alpha'");
  const table = `${schema.name}.${row?.table_name}`;
  await schema.query(
    `INSERT INTO ${table} (name, data, policy) SELECT 'alpha', to_jsonb(repeat('x', 300)), 'standard' FROM generate_series(1, 5000)`,
  );
  await schema.query(`DROP INDEX ${table}_m1`);
  await schema.query(`ALTER TABLE ${table} RESET (vacuum_truncate)`);
  await schema.query("UPDATE $schema.queue SET retention_seconds = 60 WHERE name = 'alpha'");
  assert.equal((await transport.checkSetUp()).length, 3);
  await transport.setUp();
  assert.deepEqual(await transport.checkSetUp(), []);
  assert.equal((await schema.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`))[0]?.n, 5000, "no seed row is left behind");
});

test("names the dead letters in each row where an older set-up made the queue, until set-up has run again", async (t) => {
  const schema = fresh(t);
  await (await schema.open({ queues: ["alpha"] })).close();
  await schema.query("DROP FUNCTION $schema.messenger_failed CASCADE");
  const named = async (): Promise<unknown[]> => {
    const transport = await schema.open({ autoSetup: false, queues: ["alpha"] });
    await send(transport, message("alpha"));
    await transport.close();
    return (await schema.query<{ dead: string | null }>("DELETE FROM $schema.job RETURNING dead_letter AS dead")).map(({ dead }) => dead);
  };
  assert.deepEqual(await named(), ["failed"]);
  // A program that starts leaves it alone, while it makes what it cannot do without: its role may not alter the table.
  const starting = await schema.open({ queues: ["alpha", "beta"] });
  assert.deepEqual(await named(), ["failed"]);
  assert.deepEqual(await starting.checkSetUp(), ['let rows of the queue "alpha" name their dead letters only when they fail']);
  const transport = await schema.open({ autoSetup: "defer", queues: ["alpha"] });
  assert.match((await transport.checkSetUp()).join(), /name their dead letters only when they fail/);
  const open = await schema.admin.connect();
  await open.query(`BEGIN; INSERT INTO ${schema.name}.job (name) VALUES ('alpha')`);
  assert.deepEqual(await transport.setUp(), [], "it does not fail for want of a lock, and keeps nobody waiting for long");
  await open.query("ROLLBACK");
  open.release();
  assert.equal((await transport.setUp()).length, 1);
  assert.deepEqual(await named(), [null]);
});

test("leaves a schema in which pg-boss finds nothing wrong", async (t) => {
  const schema = fresh(t);
  await schema.open({ queues: ["alpha"] });
  const boss = new PgBoss({ connectionString: url, schema: schema.name, supervise: false, schedule: false });
  boss.on("error", () => undefined);
  t.after(() => boss.stop({ graceful: false }));
  await boss.start();
  const drift = await boss.detectSchemaDrift();
  assert.ok(drift.ok, JSON.stringify(drift));
});

test("keeps names of dead-letter queues free, and lets them be chosen", async (t) => {
  const schema = fresh(t);
  const transport = await schema.open({ queues: ["failed"], deadLetterQueue: "graveyard" });
  assert.deepEqual(await transport.checkSetUp(), []);
  const [row] = await schema.query<{ dead_letter: string }>("SELECT dead_letter FROM $schema.queue WHERE name = 'failed'");
  assert.equal(row?.dead_letter, "graveyard");
});
