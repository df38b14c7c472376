import assert from "node:assert/strict";
import { test } from "node:test";
import type { QueueCounts } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, bury, messages, receive, send, WORKER } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());
const transport = await schema.open({ queues: ["alpha", "beta"] });

const countsOf = async (queue: string): Promise<QueueCounts | undefined> =>
  (await transport.getCounts()).find((counts) => counts.queue === queue);

/** How many rows the server believes a queue to have. */
const rowsOf = async (queue: string): Promise<number> => {
  const [row] = await schema.query<{ rows: string }>(
    "SELECT pg_stat_get_live_tuples(('$schema.' || table_name)::regclass) AS rows FROM $schema.queue WHERE name = $1",
    [queue],
  );
  return Number(row?.rows);
};

test("estimates a long queue instead of counting it, and comes near", async () => {
  await send(transport, ...messages("alpha", 15_000));
  const exact = await countsOf("beta");
  assert.equal(exact?.accuracy, "exact");
  await waitFor(
    async () => {
      const counts = await countsOf("alpha");
      assert.equal(counts?.accuracy, "estimated");
      assert.ok((counts?.ready ?? 0) >= 10_001);
      return Math.abs((counts?.ready ?? 0) - 15_000) < 1_000;
    },
    { what: "the server's own count", timeoutMs: 15_000, intervalMs: 200 },
  );
  const depth = await transport.getQueueDepth();
  assert.ok(Math.abs(depth - 15_000) < 1_000, `a depth of ${depth}`);
  await schema.query("DELETE FROM $schema.job WHERE name = 'alpha'");
  await schema.query("DELETE FROM $schema.messenger_bundle");
});

test("tells a long queue from what is for later and from what only remembers keys", async () => {
  await schema.query(
    `INSERT INTO $schema.job (name, data, policy, state, completed_on, created_on, start_after, singleton_key)
     SELECT 'alpha', '{}', 'standard', CASE WHEN i <= 40000 THEN 'completed' ELSE 'created' END::$schema.job_state, CASE WHEN i <= 40000 THEN now() END,
       now() + interval '1 hour' * (i > 60000)::int, now() + interval '1 hour' * (i > 60000)::int, 'k' FROM generate_series(1, 90000) AS i;
     SELECT pg_stat_force_next_flush()`,
  );
  // Else a session reports what it wrote up to ten seconds later; reported after the analysis, it would be counted twice. Not
  // exactly 90,000 when an automatic analysis has come in between, which samples.
  await waitFor(async () => (await rowsOf("alpha")) >= 80_000, { what: "a report of 90,000 rows", timeoutMs: 20_000, intervalMs: 200 });
  await schema.query("ANALYZE $schema.job");
  await waitFor(
    async () => {
      const counts = await countsOf("alpha");
      const near = (value: number | undefined, expected: number) => Math.abs((value ?? 0) - expected) < expected / 5;
      return near(counts?.ready, 20_000) && near(counts?.scheduled, 30_000) && counts?.completed === 0;
    },
    { what: "counts of 20,000 ready and 30,000 scheduled", timeoutMs: 20_000, intervalMs: 500 },
  );
  await schema.query("DELETE FROM $schema.job WHERE name = 'alpha'");
  await schema.query("DELETE FROM $schema.messenger_bundle");
});

test("totals dead letters exactly up to ten thousand, and says when it does not", async () => {
  await beat(transport);
  await send(transport, ...messages("beta", 3));
  for (const each of await receive(transport, "beta")) await bury(transport, each);
  const few = await transport.listDeadLetters({}, { limit: 2 });
  assert.deepEqual([few.total, few.accuracy, few.deadLetters.length], [3, "exact", 2]);
  await schema.query(
    `INSERT INTO $schema.job (name, data, source_name, source_id, source_output, policy)
     SELECT 'failed', '{"v": 1}', 'beta', gen_random_uuid(), '{}', 'standard' FROM generate_series(1, 30000)`,
  );
  const many = await transport.listDeadLetters({ queue: "beta" }, { limit: 5 });
  assert.equal(many.accuracy, "estimated");
  assert.ok(many.total > 10_000);
  await waitFor(
    async () => {
      const counts = await countsOf("beta");
      assert.equal(counts?.accuracy, "estimated");
      assert.ok((counts?.failed ?? 0) > 10_000);
      return Math.abs((counts?.failed ?? 0) - 30_003) < 1_000;
    },
    { what: "the server's own count of dead letters", timeoutMs: 20_000, intervalMs: 200 },
  );
  assert.equal((await countsOf("alpha"))?.failed, 0, "those of other queues are no matter of this one");
  await schema.query("DELETE FROM $schema.job WHERE name = 'failed'");
});

test("adds what several processes handled, failed and retried, also when they close at once", async () => {
  await beat(transport);
  const workers = await Promise.all([0, 1, 2].map(() => schema.open({ queues: ["alpha", "beta"] })));
  await send(transport, ...messages("alpha", 30));
  for (const worker of workers) {
    const received = await worker.receive(10, { workerId: WORKER, queues: ["alpha"] });
    const receipts = received.map((each) => each.receipt);
    await worker.acknowledge(receipts.slice(0, 7));
    await worker.reject(receipts.slice(7, 9).map((receipt) => ({ receipt, retryInMs: 60_000 })));
    for (const each of received.slice(9)) await bury(worker, each);
  }
  await Promise.all(workers.map((worker) => worker.close()));
  const rows = await schema.query<{ handled: string; failed: string; retried: string }>(
    "SELECT handled, failed, retried FROM $schema.messenger_counter WHERE queue = 'alpha'",
  );
  assert.deepEqual(rows, [{ handled: "21", failed: "3", retried: "6" }]);
  assert.equal((await countsOf("alpha"))?.completed, 21);
});

test("refuses cursors and times that are none", async () => {
  await assert.rejects(transport.listDeadLetters({}, { limit: 5, cursor: "bm8gY3Vyc29y" }), /must be a nextCursor/);
  await assert.rejects(transport.listDeadLetters({ since: "yesterday" }, { limit: 5 }), /must be an RFC 3339 time/);
  assert.deepEqual((await transport.listDeadLetters({ ids: ["'; DROP TABLE job"] }, { limit: 5 })).deadLetters, []);
});
