import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Received, stamps } from "@symphony/core";
import { PgBoss } from "pg-boss";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, bury, failure, message, messages, one, receive, send } from "./testing/messages.ts";

// What pg-boss's own tools make of our rows, as an operator would use them.
const url = await testDatabase();
const schema = new TestSchema(url);
const transport = await schema.open({ queues: ["alpha", "beta"] });
const boss = new PgBoss({ connectionString: url, schema: schema.name, supervise: false, schedule: false, max: 2 });
boss.on("error", (error) => assert.fail(error));
await boss.start();
after(() => boss.stop({ graceful: false }));

const numberOf = (received: Received): number | undefined => (received.envelope?.message.payload as { n?: number } | undefined)?.n;

test("redrives our dead letters with pg-boss's redrive, which finds them where they are", async () => {
  await beat(transport);
  await send(transport, ...messages("alpha", 3), ...messages("beta", 2));
  for (const queue of ["alpha", "beta"]) for (const received of await receive(transport, queue)) await bury(transport, received);
  const preview = await boss.previewRedrive("failed", {});
  assert.equal(preview.total, 5);
  assert.deepEqual(preview.destinations.map((each) => [each.name, each.count]).sort(), [
    ["alpha", 3],
    ["beta", 2],
  ]);
  assert.equal(await boss.redrive("failed", { sourceName: "alpha" }), 3);
  const again = await receive(transport, "alpha");
  assert.deepEqual(again.map(numberOf).sort(), [0, 1, 2]);
  // Another id, made by pg-boss; a second failure and our own redrive must cope with it.
  const [first] = again;
  assert.ok(first !== undefined);
  await bury(transport, first);
  const { redriven } = await transport.redriveDeadLetters({ ids: [first.receipt.id] }, 1);
  assert.deepEqual(redriven, [first.receipt.id]);
  const third = await one(transport, "alpha");
  assert.ok(third.receipt.id === first.receipt.id && third.receipt.fence > first.receipt.fence);
  await transport.acknowledge([...again.slice(1), third].map((each) => each.receipt));
  await transport.removeDeadLetters({}, 100);
});

test("lists and redrives what pg-boss itself dead-lettered, without making it two", async () => {
  const [id] = await send(transport, message("alpha", { n: 7 }, stamps.priority({ priority: 9 })));
  await schema.query("UPDATE $schema.job SET retry_limit = 0 WHERE id = $1", [id]);
  const [job] = await boss.fetch("alpha");
  assert.ok(job !== undefined);
  await boss.fail("alpha", job, new Error("by pg-boss"));
  const { deadLetters } = await transport.listDeadLetters({ queue: "alpha" }, { limit: 10 });
  assert.equal(deadLetters.length, 1);
  assert.equal(deadLetters[0]?.failure.error.message, "by pg-boss");
  assert.equal(deadLetters[0]?.type, "test.message");
  await transport.redriveDeadLetters({}, 10);
  const received = await receive(transport, "alpha");
  assert.deepEqual(
    received.map((each) => [each.receipt.id, each.priority]),
    [[id, 9]],
    "the row that pg-boss left as failed is the message again",
  );
  await transport.acknowledge(received.map((each) => each.receipt));
  assert.equal((await schema.query("SELECT 1 FROM $schema.job")).length, 0);
});

test("keeps what pg-boss gives up for good, though the rows do not name their dead letters before", async () => {
  const named = () => schema.query<{ dead: string | null }>("SELECT DISTINCT dead_letter AS dead FROM $schema.job");
  const reasons = async (): Promise<unknown[]> => {
    const { deadLetters } = await transport.listDeadLetters({ queue: "beta" }, { limit: 10 });
    const said = deadLetters.map((each) => each.failure.error.message);
    await schema.query("DELETE FROM $schema.job");
    return said;
  };
  await send(transport, ...messages("beta", 3));
  assert.deepEqual(await named(), [{ dead: null }]);
  const given = Promise.withResolvers<void>();
  const worker = await boss.work("beta", { batchSize: 3, perJobResults: true, pollingIntervalSeconds: 0.5 }, (jobs) => {
    given.resolve();
    return Promise.resolve(jobs.map(({ id }) => ({ id, status: "deadletter" as const, output: { message: "not this one" } })));
  });
  await given.promise;
  await boss.offWork("beta", { id: worker, wait: true });
  assert.deepEqual(await reasons(), ["not this one", "not this one", "not this one"]);
  // Its supervision ends what takes too long.
  await send(transport, ...messages("beta", 2));
  await schema.query("UPDATE $schema.job SET retry_limit = 0, expire_seconds = 1");
  assert.equal((await boss.fetch("beta", { batchSize: 2 })).length, 2);
  await schema.query("UPDATE $schema.job SET started_on = now() - interval '1 minute'");
  await schema.query("UPDATE $schema.queue SET monitor_on = NULL, monitor_claim_on = NULL, maintain_on = NULL");
  await boss.supervise("beta");
  assert.equal((await reasons()).length, 2);
});

test("hands messages over to pg-boss's fetch and back", async () => {
  const ids = await send(transport, ...messages("alpha", 4));
  const jobs = await boss.fetch("alpha", { batchSize: 2 });
  assert.deepEqual(jobs.map((job) => job.id).sort(), ids.slice(0, 2));
  const [first, second] = jobs;
  assert.ok(first !== undefined && second !== undefined);
  await boss.fail("alpha", first, { message: "again" });
  await boss.deleteJob("alpha", second);
  const received = await receive(transport, "alpha");
  assert.deepEqual(received.map((each) => each.receipt.id).sort(), ids.filter((id) => id !== second.id).sort());
  assert.ok((received.find((each) => each.receipt.id === first.id)?.receipt.fence ?? 0) > first.retryCount);
  await transport.acknowledge(received.map((each) => each.receipt));
});

test("loses nothing to pg-boss's maintenance, however old it is", async () => {
  // Too large for a bundle, which pg-boss knows nothing of.
  const padding = "x".repeat(4_000);
  await send(transport, ...["waiting", "leased", "dead"].map((key) => message("alpha", { [key]: true, padding })));
  const held = await receive(transport, "alpha");
  const having = (key: string) => held.find((each) => each.body.includes(`"${key}": true`));
  const [dead, waiting] = [having("dead"), having("waiting")];
  assert.ok(dead !== undefined && waiting !== undefined);
  await transport.reject([
    { receipt: dead.receipt, deadLetter: failure() },
    { receipt: waiting.receipt, retryInMs: 0 },
  ]);
  const years = "interval '5 years'";
  await schema.query(
    `UPDATE $schema.job SET created_on = created_on - ${years}, start_after = start_after - ${years}, keep_until = keep_until - ${years}, started_on = now()`,
  );
  await boss.supervise();
  await schema.query("UPDATE $schema.queue SET maintain_on = NULL, monitor_on = NULL, monitor_claim_on = NULL");
  await boss.supervise();
  const states = await schema.query<{ name: string; state: string }>("SELECT name, state FROM $schema.job ORDER BY name, state");
  assert.deepEqual(states, [
    { name: "alpha", state: "retry" },
    { name: "alpha", state: "active" },
    { name: "failed", state: "created" },
  ]);
});
