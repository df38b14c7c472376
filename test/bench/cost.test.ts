import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { createDatabase, type Database, sharedServer } from "../support/database.ts";
import { startPrivateServer } from "../support/private-server.ts";
import type { Contestant, Target } from "./contestant.ts";
import { inline, threads } from "./contestant-ours.ts";
import { countPosts } from "./count-posts.ts";
import { Ledger } from "./ledger.ts";
import { NOOP } from "./work.ts";

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
  await inline.fill(database, 1_000);
  await drain(inline, database, 1_000);
  await settled(database);
  const start = await counted(database);
  await inline.fill(database, COUNT);
  await settled(database);
  const filled = await counted(database);
  await drain(inline, database, COUNT);
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

test("a message costs at most 0.05 posts between threads, both ways together", async (t) => {
  const server = await sharedServer();
  const database = await createDatabase(server);
  t.after(async () => {
    await database.close({ keep: false });
    await server.release();
  });
  await threads.fill(database, COUNT);
  const posts = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  countPosts(posts);
  await drain(threads, database, COUNT, posts);
  const perMessage = (new Int32Array(posts)[0] ?? 0) / COUNT;
  t.diagnostic(`posts between threads: ${perMessage.toFixed(4)} a message`);
  assert.ok(perMessage > 0, "none was counted: the threads are spoken to in another way");
  assert.ok(perMessage <= 0.05, `${perMessage} posts a message`);
});

function perMessage(before: Counted, after: Counted): Counted {
  const per = (key: keyof Counted): number => (after[key] - before[key]) / COUNT;
  return { commits: per("commits"), rowVersions: per("rowVersions"), walBytes: per("walBytes") };
}

/** @param posts - Counts what is posted between threads. */
async function drain(contestant: Contestant, target: Target, count: number, posts?: SharedArrayBuffer): Promise<void> {
  const [settings] = Object.values(contestant.candidates);
  assert.ok(settings !== undefined);
  const ledger = Ledger.create(count);
  const consumer = await contestant.prepare({ target, settings: { ...settings, posts }, ledger, work: NOOP, queues: 1 });
  await consumer.start();
  await waitFor(() => ledger.handled >= count, { what: `the end of ${count} messages`, timeoutMs: 60_000 });
  await consumer.stop();
  assert.ok(
    ledger.runs().every((times) => times === 1),
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
