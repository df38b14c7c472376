import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Finding } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import pg from "pg";
import { TestSchema, testDatabase } from "../testing/database.ts";
import { beat, messages, receive, send } from "../testing/messages.ts";
import { connectionFindings, durabilityFindings, serverFindings } from "./server-checks.ts";
import type { ServerState } from "./server-facts.ts";

const url = await testDatabase();

async function opened(t: TestContext, queues: readonly string[] = ["alpha"]) {
  const schema = new TestSchema(url, t);
  return { schema, transport: await schema.open({ queues }) };
}

const codes = (findings: readonly Finding[]): string[] =>
  findings.map(({ code, subject }) => (subject === undefined ? code : `${code} ${subject}`));
const has = (findings: readonly Finding[], code: string): boolean => codes(findings).includes(code);

test("finds nothing in a fresh queue on a sound server", async (t) => {
  const { transport } = await opened(t);
  // Other suites use the same server: what is open or connected there is no finding of this one.
  const shared = new Set(["transaction-open", "connections-scarce"]);
  assert.deepEqual(codes((await transport.diagnose()).filter(({ code }) => !shared.has(code))), []);
});

test("works before set-up, and names what is missing", async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ autoSetup: "defer", queues: ["alpha"] });
  const findings = await transport.diagnose();
  assert.ok(has(findings, `schema-missing ${schema.name}`));
  assert.equal(findings[0]?.severity, "error");
  assert.ok(findings.every(({ finding, consequence, cure }) => finding !== "" && consequence !== "" && cure !== ""));
});

test("tells a schema that is newer than the program", async (t) => {
  const { schema, transport } = await opened(t);
  await schema.query("UPDATE $schema.version SET version = 99");
  assert.ok(has(await transport.diagnose(), `schema-mismatch ${schema.name}`));
});

test("names a queue that is missing, and an index that somebody dropped", async (t) => {
  const { schema } = await opened(t);
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  await schema.query(`DROP INDEX $schema.${row?.table}_m1`);
  const other = await schema.open({ autoSetup: "defer", queues: ["alpha", "beta"] });
  const findings = await other.diagnose();
  assert.ok(has(findings, `queue-missing ${schema.name}`));
  assert.ok(has(findings, `set-up-incomplete ${schema.name}`));
});

test("names the process that keeps a transaction open", async (t) => {
  const { transport } = await opened(t);
  const client = new pg.Client({ connectionString: url, application_name: "forgetful" });
  await client.connect();
  t.after(() => client.end());
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const pid = rows[0]?.pid ?? 0;
  const found = await waitFor(
    async () =>
      (await transport.diagnose({ limits: { transactionMs: 1 } })).find(
        ({ code, subject }) => code === "transaction-open" && subject === String(pid),
      ),
    { what: "the finding" },
  );
  assert.match(found.finding, /forgetful/);
  assert.match(found.cure, new RegExp(`pg_terminate_backend\\(${pid}\\)`));
});

test("finds retention that would delete, tables that a crash would empty, and vacuum that is off", async (t) => {
  const { schema, transport } = await opened(t);
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  await schema.query("UPDATE $schema.queue SET retention_seconds = 1209600 WHERE name = 'alpha'");
  await schema.query("UPDATE $schema.queue SET deletion_seconds = 604800 WHERE name = 'failed'");
  await schema.query(`ALTER TABLE $schema.${row?.table} SET (autovacuum_enabled = false)`);
  await schema.query(`ALTER TABLE $schema.${row?.table} SET UNLOGGED`);
  const findings = await transport.diagnose();
  for (const code of ["retention-bites alpha", "retention-bites failed", "autovacuum-disabled alpha", "table-unlogged alpha"])
    assert.ok(has(findings, code), code);
});

test("finds dead rows that nobody removes", async (t) => {
  const { schema, transport } = await opened(t);
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  await schema.query(`ALTER TABLE $schema.${row?.table} SET (autovacuum_enabled = false)`);
  await send(transport, ...messages("alpha", 200));
  const reported = async (): Promise<boolean> => {
    // A session reports what it did with its next statement, once a second has passed.
    await transport.getCounts();
    const [seen] = await schema.query<{ rows: string }>(`SELECT pg_stat_get_live_tuples('$schema.${row?.table}'::regclass) AS rows`);
    return Number(seen?.rows) >= 200;
  };
  // The server counts no fewer than zero live rows: were the deletion reported first, these would count as alive for good.
  await waitFor(reported, { what: "a report of 200 rows", timeoutMs: 20_000, intervalMs: 200 });
  await schema.query("DELETE FROM $schema.job WHERE name = 'alpha'");
  await schema.query("DELETE FROM $schema.messenger_bundle");
  const found = async (): Promise<boolean> => {
    await schema.query("SELECT 1");
    return has(await transport.diagnose({ limits: { deadRows: 100 } }), "dead-rows alpha");
  };
  await waitFor(found, {
    what: "the server's count of dead rows",
    timeoutMs: 20_000,
    intervalMs: 200,
  });
});

test("finds an index whose building was interrupted", async (t) => {
  const { schema, transport } = await opened(t);
  const [row] = await schema.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = 'alpha'");
  await send(transport, ...messages("alpha", 2));
  await assert.rejects(
    schema.query(`CREATE UNIQUE INDEX CONCURRENTLY half_built ON $schema.${row?.table} (name)`),
    /could not create unique index/,
  );
  assert.ok(has(await transport.diagnose(), "index-invalid half_built"));
});

test("finds queues that nobody takes from, and messages that wait or run for too long", async (t) => {
  const { schema, transport } = await opened(t);
  await send(transport, ...messages("alpha", 2));
  assert.ok(has(await transport.diagnose(), "queue-without-worker alpha"));
  await beat(transport);
  assert.ok(!has(await transport.diagnose(), "queue-without-worker alpha"), "somebody is there");
  await receive(transport, "alpha", 1);
  await schema.query("UPDATE $schema.messenger_bundle SET claimed_at = now() - interval '2 hours'");
  await schema.query("UPDATE $schema.job SET created_on = now() - interval '2 hours' WHERE state < 'active'");
  const slow = await transport.diagnose();
  assert.ok(has(slow, "deliveries-slow alpha"));
  assert.ok(has(slow, "messages-overdue alpha"));
  await schema.query("DELETE FROM $schema.messenger_worker");
  assert.ok(has(await transport.diagnose(), "deliveries-abandoned alpha"));
});

const sound: ServerState = {
  settings: new Map(
    Object.entries({
      fsync: "on",
      full_page_writes: "on",
      synchronous_commit: "on",
      autovacuum: "on",
      track_counts: "on",
      max_connections: "100",
      superuser_reserved_connections: "3",
    }),
  ),
  version: 150_000,
  connections: 10,
  notifyQueue: 0,
  clockAheadMs: 0,
};
const limits = { transactionMs: 1, waitingMs: 1, handlingMs: 1, deadRows: 1, clockSkewMs: 2_000 };
const withSetting = (name: string, value: string): ServerState => ({ ...sound, settings: new Map([...sound.settings, [name, value]]) });

test("finds the settings on which durability and vacuum rest", () => {
  assert.deepEqual([...durabilityFindings(sound), ...serverFindings(sound, limits)], []);
  assert.deepEqual(codes(durabilityFindings(withSetting("fsync", "off"))), ["fsync-off"]);
  assert.deepEqual(codes(durabilityFindings(withSetting("full_page_writes", "off"))), ["full-page-writes-off"]);
  assert.deepEqual(codes(durabilityFindings(withSetting("synchronous_commit", "off"))), ["synchronous-commit-off"]);
  assert.deepEqual(codes(serverFindings(withSetting("autovacuum", "off"), limits)), ["autovacuum-off"]);
  assert.deepEqual(codes(serverFindings(withSetting("track_counts", "off"), limits)), ["track-counts-off"]);
  assert.deepEqual(codes(serverFindings({ ...sound, version: 120_000 }, limits)), ["server-too-old"]);
  assert.deepEqual(codes(serverFindings({ ...sound, notifyQueue: 0.5 }, limits)), ["notify-queue-filling"]);
  assert.deepEqual(codes(serverFindings({ ...sound, clockAheadMs: -5_000 }, limits)), ["clock-skew"]);
});

test("reckons whether another fleet finds connections", () => {
  const found = (needed: number | undefined, connections: number): string[] =>
    connectionFindings({ ...sound, connections }, needed).map(({ code, severity }) => `${severity} ${code}`);
  assert.deepEqual(found(20, 10), []);
  assert.deepEqual(found(20, 80), ["warning connections-scarce"]);
  assert.deepEqual(found(98, 10), ["error connections-too-few"]);
  assert.deepEqual(found(undefined, 90), ["warning connections-scarce"]);
});

test("sees a role for which commits are not durable", async (t) => {
  const { schema } = await opened(t);
  const transport = await schema.open({
    dsn: `${url}${url.includes("?") ? "&" : "?"}options=${encodeURIComponent("-c synchronous_commit=off")}`,
  });
  assert.ok(has(await transport.diagnose(), "synchronous-commit-off"));
});
