import assert from "node:assert/strict";
import { test } from "node:test";
import { type Received, stamps, systemClock } from "@symphony/core";
import pg from "pg";
import { PgBoss } from "pg-boss";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { bury, message, one, receive, send, WORKER } from "./testing/messages.ts";

const url = await testDatabase();
const { partitionKey, deduplicate, idempotencyKey } = stamps;
const keyed = (queue: string, key: string, n: number) => message(queue, { n }, partitionKey({ key }));
const numberOf = (received: Received): unknown => (received.envelope?.message.payload as { n: number } | undefined)?.n;

test("prepares the queues that set-up is told of, says so in a dry run, and leaves the others as they are", async (t) => {
  const schema = new TestSchema(url, t);
  const plain = await schema.open({ queues: ["plain", "lines"] });
  const told = await schema.open({ queues: ["plain", "lines"], keyedQueues: ["lines"], autoSetup: "defer" });
  const dry = await told.setUp({ dryRun: true });
  assert.ok(
    dry.some((step) => step.includes('prepare the queue "lines"') && step.includes("CREATE TRIGGER")),
    dry.join("\n"),
  );
  await told.setUp();
  assert.deepEqual(await told.checkSetUp(), []);
  const triggers = await schema.query<{ queue: string }>(
    "SELECT DISTINCT q.name AS queue FROM pg_trigger t JOIN $schema.queue q ON t.tgrelid = to_regclass('$schema.' || q.table_name) WHERE t.tgname = 'messenger_start'",
  );
  assert.deepEqual(triggers, [{ queue: "lines" }]);
  await send(plain, keyed("lines", "a", 1));
});

test("refuses keys in a queue that is not prepared when nothing may be made, and in a transaction of the caller", async (t) => {
  const schema = new TestSchema(url, t);
  await schema.open({ queues: ["q"] });
  const strict = await schema.open({ queues: ["q"], autoSetup: false });
  const codes = async (...results: Parameters<typeof strict.send>) =>
    (await strict.send(...results)).map((result) => (result.kind === "refused" ? result.error.code : result.kind));
  assert.deepEqual(await codes([keyed("q", "a", 1), message("q"), message("q", {}, deduplicate({ key: "k" }))]), [
    "CAPABILITY_MISSING",
    "accepted",
    "CAPABILITY_MISSING",
  ]);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("BEGIN");
  const maker = await schema.open({ queues: ["q"] });
  const [inside] = await maker.send([keyed("q", "a", 1)], { transaction: client });
  assert.equal(inside?.kind === "refused" && inside.error.code, "CAPABILITY_MISSING");
  await client.query("ROLLBACK");
  await client.end();
  assert.deepEqual(
    (await maker.send([keyed("q", "a", 1)])).map((result) => result.kind),
    ["accepted"],
    "prepared on the way",
  );
  assert.deepEqual(await codes([keyed("q", "a", 2)]), ["accepted"], "and then good for all");
});

test("keeps the order in which one sender sent, over many batches, idempotency keys and transactions", async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ queues: ["q"], coalesceMaxRows: 7, coalesceMaxWaitMs: 0 });
  // The queue is prepared by the first of them, while the others come.
  const sent = Array.from({ length: 100 }, (_, n) =>
    transport.send([
      n % 3 === 0 ? message("q", { n }, partitionKey({ key: "a" }), idempotencyKey({ key: `key-${n}` })) : keyed("q", "a", n),
    ]),
  );
  await Promise.all(sent);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("BEGIN");
  for (const n of [100, 101]) await transport.send([keyed("q", "a", n)], { transaction: client });
  await client.query("COMMIT");
  await client.end();
  const seen: unknown[] = [];
  while (seen.length < 102) {
    const received = await one(transport, "q");
    seen.push(numberOf(received));
    await transport.acknowledge([received.receipt]);
  }
  assert.deepEqual(seen, [...seen.keys()]);
});

test("lets the next one in whatever removes the one before: a purge, pg-boss's own tools, a transactional handler", async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ queues: ["q"], keyedQueues: ["q"] });
  const ids = await send(transport, ...[1, 2, 3, 4, 5, 6].map((n) => keyed("q", "a", n)));
  const boss = new PgBoss({ connectionString: url, schema: schema.name, migrate: false, supervise: false, schedule: false });
  await boss.start();
  t.after(() => boss.stop({ graceful: false }));
  // The claims take the others out of the index.
  assert.equal(numberOf(await one(transport, "q")), 1);
  assert.deepEqual(await receive(transport, "q"), []);
  assert.deepEqual(await boss.fetch("q"), [], "not for pg-boss's own workers either");
  await boss.deleteJob("q", ids[1] ?? "");
  await boss.cancel("q", ids[0] ?? "");
  const third = await one(transport, "q");
  assert.equal(numberOf(third), 3);
  await transport.transaction(third.receipt, async () => undefined);
  const [fourth] = await boss.fetch<{ payload: { n: number } }>("q");
  assert.equal(fourth?.data.payload.n, 4);
  await boss.complete("q", fourth?.id ?? "");
  assert.equal(numberOf(await one(transport, "q")), 5);
  await schema.query("DELETE FROM $schema.job WHERE name = 'q' AND state = 'active'");
  assert.equal(numberOf(await one(transport, "q")), 6);
});

test("starts nothing of a key while an older message of it comes in late, and nothing is forgotten", async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ queues: ["q"], keyedQueues: ["q"] });
  const late = new pg.Client({ connectionString: url });
  await late.connect();
  await late.query("BEGIN");
  await transport.send([keyed("q", "a", 1)], { transaction: late });
  await send(transport, keyed("q", "a", 2), keyed("q", "a", 3));
  const second = await one(transport, "q");
  assert.equal(numberOf(second), 2, "what is not committed is not there");
  await late.query("COMMIT");
  await late.end();
  assert.deepEqual(await receive(transport, "q"), [], "the older one must wait for the one that was started");
  await bury(transport, second);
  for (const expected of [1, 3]) {
    const next = await one(transport, "q");
    assert.equal(numberOf(next), expected);
    await transport.acknowledge([next.receipt]);
  }
});

test("wakes workers when a message that ends lets another one in", async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ queues: ["q"], keyedQueues: ["q"] });
  await send(transport, keyed("q", "a", 1), keyed("q", "a", 2));
  const first = await one(transport, "q");
  const woken = Promise.withResolvers<readonly string[]>();
  const stop = await transport.onWake((queues) => woken.resolve(queues));
  await transport.acknowledge([first.receipt]);
  assert.deepEqual(await woken.promise, ["q"]);
  await stop();
});

test("costs no more than milliseconds per message with ten thousand of one key in line", { timeout: 120_000 }, async (t) => {
  const schema = new TestSchema(url, t);
  const transport = await schema.open({ queues: ["q"], keyedQueues: ["q"] });
  for (let n = 0; n < 10_000; n += 500) await transport.send(Array.from({ length: 500 }, (_, i) => keyed("q", "hot", n + i)));
  let { receipt } = await one(transport, "q");
  const start = systemClock.monotonic();
  for (let i = 1; i <= 100; i++) {
    const [next] = await transport.receive(1, { workerId: WORKER, queues: ["q"], acknowledge: [receipt] });
    assert.ok(next !== undefined);
    assert.equal(numberOf(next), i);
    receipt = next.receipt;
  }
  const each = (systemClock.monotonic() - start) / 100;
  // Alone on the machine it takes 3 ms: three round trips and two commits.
  assert.ok(each < 60, `${each} ms`);
});
