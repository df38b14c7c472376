import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { createDatabase, type Database } from "../support/database.ts";
import { startPrivateServer } from "../support/private-server.ts";
import { inline } from "./contestant-ours.ts";

/**
 * What a message costs the database from its claim to its end: counted, not timed, so that it is the same on every machine.
 * A change that adds a statement, a row version or a write per message fails here, however fast the machine is.
 */
const COUNT = 20_000;

interface Counted {
  readonly commits: number;
  readonly rowVersions: number;
  readonly walBytes: number;
}

test("a message costs at most 0.02 commits, 3 row versions and 1,500 bytes of WAL from dispatch to end, 900 of them its consumer's", async (t) => {
  // Its log counts what everybody writes, and a checkpoint makes the next change of each page a large one.
  const server = await startPrivateServer({ settings: { checkpoint_timeout: "1h", max_wal_size: "4GB", autovacuum: "off" } });
  const database = await createDatabase(server);
  t.after(async () => {
    await database.close({ keep: false });
    await server.close();
  });
  // Everything that is made once is there: what follows is messages alone.
  await inline.fill(database.connectionString, 1_000);
  await drain(database.connectionString, 1_000);
  await settled(database);
  const start = await counted(database);
  await inline.fill(database.connectionString, COUNT);
  await settled(database);
  const filled = await counted(database);
  await drain(database.connectionString, COUNT);
  await settled(database);
  const end = await counted(database);
  const life = perMessage(start, end);
  const consumer = perMessage(filled, end);
  report(t, "from dispatch to end", life);
  report(t, "its consumer's part", consumer);
  assert.ok(life.commits <= 0.02, `${life.commits} commits a message`);
  assert.ok(life.rowVersions <= 3, `${life.rowVersions} row versions a message`);
  assert.ok(life.walBytes <= 1_500, `${life.walBytes} bytes of WAL a message`);
  assert.ok(consumer.walBytes <= 900, `${consumer.walBytes} bytes of WAL a message on the consumer's side`);
});

function perMessage(before: Counted, after: Counted): Counted {
  const per = (key: keyof Counted): number => (after[key] - before[key]) / COUNT;
  return { commits: per("commits"), rowVersions: per("rowVersions"), walBytes: per("walBytes") };
}

async function drain(connectionString: string, count: number): Promise<void> {
  const settings = inline.candidates["batch 500, concurrency 500"];
  assert.ok(settings !== undefined);
  const consumer = await inline.prepare({ connectionString, settings, count });
  await consumer.start();
  await consumer.done();
  await consumer.stop();
  const runs = Array.from({ length: count }, (_, number) => consumer.runs()[number] ?? 0);
  assert.ok(
    runs.every((times) => times === 1),
    "each was handled once",
  );
}

/** Backends report what they did a moment later, and at their end at the latest. */
async function settled(database: Database): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await database.query<{ others: number }>(
        "SELECT count(*)::int AS others FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'symphony-test'",
      );
      return row?.others === 0;
    },
    { what: "the end of all other connections" },
  );
}

async function counted(database: Database): Promise<Counted> {
  const [row] = await database.query<{ commits: string; versions: string; wal: string }>(`
    SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
      (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables WHERE schemaname IN ('symphony', 'pg_toast')) AS versions,
      pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal`);
  return { commits: Number(row?.commits), rowVersions: Number(row?.versions), walBytes: Number(row?.wal) };
}

function report(t: TestContext, what: string, per: Counted): void {
  const text = Object.entries(per).map(([name, value]) => `${name} ${value.toFixed(3)}`);
  t.diagnostic(`${what}: ${text.join(", ")}`);
}
