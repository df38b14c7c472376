import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { stamps, systemClock, systemRuntime } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import pg from "pg";
import { preferPlanned } from "./pool-clients.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, message, messages, one, send, WORKER } from "./testing/messages.ts";

const url = await testDatabase();
const schema = new TestSchema(url);

/** Keeps everybody from reading the table of a queue, and tells whether somebody waits for that. */
async function locked(t: TestContext, queue: string): Promise<{ waits: () => Promise<boolean>; unlock: () => Promise<unknown> }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.after(() => client.end());
  const table = `${schema.name}.${(await schema.queueOf(queue)).table}`;
  await client.query(`BEGIN; LOCK TABLE ${table}`);
  const waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = $1::regclass";
  return { waits: async () => (await schema.query(waiting, [table])).length > 0, unlock: () => client.query("COMMIT") };
}

test("takes from many queues in the given order, whichever of them have messages", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues });
  const full = [17, 3, 11, 5];
  for (const n of full) await send(many, ...messages(`many-${n}`, 2));
  const seen: string[] = [];
  let acknowledge = await one(many, "many-17").then((each) => [each.receipt]);
  const settled: string[] = [];
  for (let round = 0; round < 3; round++) {
    const received = await many.receive(3, {
      workerId: WORKER,
      queues,
      acknowledge,
      onSettled: (all) => settled.push(...all.map((each) => each.status)),
    });
    seen.push(...received.map((each) => each.queue));
    acknowledge = received.map((each) => each.receipt);
  }
  assert.deepEqual(seen, ["many-3", "many-3", "many-5", "many-5", "many-11", "many-11", "many-17"]);
  assert.deepEqual(new Set(settled), new Set(["settled"]));
  assert.equal(settled.length, 7, "acknowledgements of any queue ride along");
  await many.acknowledge(acknowledge);
});

test("finds what comes to one of many queues, whether the others are empty or never empty", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues });
  const next = async (): Promise<string | undefined> => {
    const [received] = await many.receive(1, { workerId: WORKER, queues });
    if (received !== undefined) await many.acknowledge([received.receipt]);
    return received?.queue;
  };
  await send(many, message("many-9"));
  assert.equal(await next(), "many-9");
  await send(many, message("many-4"));
  assert.equal(await next(), "many-4", "asked again, although a moment ago it was empty");
  assert.equal(await next(), undefined);
  await send(many, ...messages("many-9", 3_000));
  assert.equal(await next(), "many-9");
  await send(many, message("many-2"));
  let busy = 0;
  while ((await next()) === "many-9") busy += 1;
  assert.ok(busy < 2_900, `found after ${busy} of a queue that is behind it`);
  await schema.clear();
  // Two receives at a time, neither of which may take the other's question for an answer.
  await send(many, ...messages("many-7", 50));
  for (let round = 0; round < 5; round++) {
    const fresh = await schema.open({ queues });
    const pair = await Promise.all([1, 2].map(() => fresh.receive(5, { workerId: WORKER, queues })));
    const counts = pair.map((received) => received.length);
    assert.deepEqual(counts, [5, 5], `in round ${round}`);
  }
  await schema.clear();
  // Its notification says so at once.
  const woken = Promise.withResolvers<void>();
  const stop = await many.onWake((names) => names.includes("many-3") && woken.resolve());
  await send(many, ...messages("many-9", 10));
  assert.equal(await next(), "many-9");
  await send(many, message("many-3"));
  await woken.promise;
  assert.equal(await next(), "many-3");
  await stop();
  await schema.clear();
});

test("finds what is in one of many queues when another worker has taken what it believed to be in the others", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  let passedMs = 0;
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + passedMs };
  const many = await schema.open({ queues, runtime: { ...systemRuntime, clock } });
  const other = await schema.open({ queues });
  for (const [round, waitMs] of [0, 1_000].entries()) {
    await send(many, ...messages("many-9", 2), message("many-3"));
    const names = async (): Promise<string[]> => (await many.receive(1, { workerId: WORKER, queues })).map(({ queue }) => queue);
    assert.deepEqual(await names(), ["many-3"]);
    assert.deepEqual(await names(), ["many-9"], "where it knows one more");
    assert.equal((await other.receive(5, { workerId: WORKER, queues })).length, 1);
    await send(other, message("many-17"));
    passedMs += waitMs;
    assert.deepEqual(await names(), ["many-17"], `in round ${round}`);
    assert.deepEqual(await names(), []);
    await schema.clear();
  }
});

test("goes on where it knows of more while the other ones of many queues are asked again", async (t) => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  let passedMs = 0;
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + passedMs };
  const many = await schema.open({ queues, runtime: { ...systemRuntime, clock }, statementTimeoutMs: 2_000 });
  await send(many, ...messages("many-3", 3));
  const next = async (): Promise<string | undefined> => (await many.receive(1, { workerId: WORKER, queues }))[0]?.queue;
  assert.equal(await next(), "many-3");
  const { waits, unlock } = await locked(t, "many-15");
  passedMs += 1_000;
  const meanwhile = [await next()];
  await waitFor(waits, { what: "the question to wait for the lock" });
  await waitFor(async () => !(await waits()), { what: "the question to be given up" });
  meanwhile.push(await next());
  await unlock();
  assert.deepEqual(meanwhile, ["many-3", "many-3"]);
  await schema.clear();
});

test("acknowledges what was handled while it is still asked which of many queues have something", async (t) => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues, statementTimeoutMs: 2_000 });
  await send(many, message("many-3"));
  const options = { workerId: WORKER, queues };
  const acknowledge = (await many.receive(5, options)).map(({ receipt }) => receipt);
  const { waits, unlock } = await locked(t, "many-15");
  const settled: string[] = [];
  const receiving = many.receive(5, { ...options, acknowledge, onSettled: (all) => settled.push(...all.map(({ status }) => status)) });
  const refused = assert.rejects(receiving, { code: "TRANSPORT_UNAVAILABLE" });
  const isHeld = async (): Promise<boolean> => (await schema.query("SELECT 1 FROM $schema.messenger_bundle")).length > 0;
  await waitFor(async () => !(await isHeld()), { what: "the message to be acknowledged" });
  assert.equal(await waits(), true, "nobody has answered the question yet");
  await refused;
  assert.deepEqual(settled, ["settled"], "also when there is no answer");
  await unlock();
  await send(many, message("many-4"));
  assert.equal((await many.receive(5, options)).length, 1);
  await schema.clear();
});

test("changes the rows of all queues for the sake of dead workers only when there are any", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues });
  await schema.query("CREATE TABLE $schema.reaped (at timestamptz DEFAULT now())");
  await schema.query(
    "CREATE FUNCTION $schema.reaped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO $schema.reaped DEFAULT VALUES; RETURN NULL; END'",
  );
  await schema.query("CREATE TRIGGER reaped AFTER UPDATE ON $schema.job FOR EACH STATEMENT EXECUTE FUNCTION $schema.reaped()");
  const count = async (): Promise<number> => (await schema.query("SELECT 1 FROM $schema.reaped")).length;
  await send(many, message("many-3"));
  await beat(many);
  assert.equal((await many.receive(5, { workerId: WORKER, queues })).length, 1);
  assert.deepEqual(await many.reap(60_000), { workers: [], messages: 0 });
  assert.equal(await count(), 0);
  await schema.query("UPDATE $schema.messenger_worker SET last_beat_at = now() - interval '2 minutes'");
  assert.deepEqual(await many.reap(60_000), { workers: [WORKER], messages: 1 });
  assert.equal(await count(), 1);
  // Of nobody in the list: a row, and a bundle.
  const key = stamps.idempotencyKey({ key: "row" });
  for (const row of [[key], []]) {
    await schema.clear();
    await send(many, message("many-5", {}, ...row));
    assert.equal((await many.receive(5, { workerId: "unknown", queues })).length, 1);
    assert.deepEqual(await many.reap(60_000), { workers: [], messages: 0 }, "claimed just now");
    await schema.query("UPDATE $schema.job SET started_on = now() - interval '2 minutes' WHERE state = 'active'");
    await schema.query("UPDATE $schema.messenger_bundle SET claimed_at = now() - interval '2 minutes'");
    assert.deepEqual(await many.reap(60_000), { workers: [], messages: 1 });
  }
  await schema.query("DROP TABLE $schema.reaped CASCADE; DROP FUNCTION $schema.reaped() CASCADE");
  await schema.clear();
});

test("claims in the given order from many queues where a message between others cannot travel in a bundle", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues });
  const bundled = async (): Promise<string[]> =>
    (await schema.query<{ queue: string }>("SELECT DISTINCT queue FROM $schema.messenger_bundle ORDER BY 1")).map(({ queue }) => queue);
  await schema.clear();
  await send(many, message("many-9", { n: 1 }), message("many-10", { n: 2 }));
  const fit = await many.receive(10, { workerId: WORKER, queues });
  assert.deepEqual(
    [fit.map(({ queue }) => queue), await bundled()],
    [
      ["many-9", "many-10"],
      ["many-10", "many-9"],
    ],
  );
  const key = stamps.idempotencyKey({ key: "once" });
  await send(
    many,
    ...messages("many-1", 2),
    message("many-3", {}, key),
    ...messages("many-3", 2),
    ...messages("many-5", 2),
    message("many-12"),
  );
  const seen: string[] = [];
  let acknowledge = fit.map(({ receipt }) => receipt);
  const settled: string[] = [];
  for (let round = 0; round < 4; round++) {
    const onSettled = (all: readonly { status: string }[]): number => settled.push(...all.map(({ status }) => status));
    const received = await many.receive(4, { workerId: WORKER, queues, acknowledge, onSettled });
    acknowledge = received.map(({ receipt }) => receipt);
    seen.push(...received.map(({ queue }) => queue));
  }
  assert.deepEqual(seen, ["many-1", "many-1", "many-3", "many-3", "many-3", "many-5", "many-5", "many-12"]);
  assert.deepEqual(settled, Array(10).fill("settled"), "each once, those that rode with a claim that brought nothing as well");
  assert.deepEqual(await bundled(), []);
});

test("claims as many as are asked for from several of many queues, the urgent ones of each first", async () => {
  const queues = Array.from({ length: 20 }, (_, n) => `many-${n}`);
  const many = await schema.open({ queues });
  const high = stamps.priority({ priority: 9 });
  for (const n of [2, 4, 6]) await send(many, ...messages(`many-${n}`, 2), message(`many-${n}`, { n: 9 }, high));
  const take = async (max: number): Promise<string[]> => {
    const received = await many.receive(max, { workerId: WORKER, queues });
    await many.acknowledge(received.map(({ receipt }) => receipt));
    return received.map(({ queue, priority }) => `${queue} ${priority}`);
  };
  assert.deepEqual(await take(4), ["many-2 9", "many-2 5", "many-2 5", "many-4 9"]);
  assert.deepEqual(await take(4), ["many-4 5", "many-4 5", "many-6 9", "many-6 5"]);
  assert.deepEqual(await take(4), ["many-6 5"]);
});

test("prefers the idle connection that has planned a statement, else the one that has planned most", () => {
  const idle = (...names: string[]) => ({
    client: { connection: { parsedStatements: Object.fromEntries(names.map((name) => [name, ""])) } },
  });
  const [a, b, c] = [idle("x", "y"), idle("z"), idle()];
  const chosen = (name: string, order: ReturnType<typeof idle>[], waitingCount = 0): unknown => {
    preferPlanned({ _idle: order, waitingCount } as never, name);
    assert.equal(new Set(order).size, 3, "nothing is lost");
    // The pool takes the last one, for whoever came first.
    return order.at(-1 - waitingCount);
  };
  assert.equal(chosen("z", [a, b, c]), b);
  assert.equal(chosen("new", [a, b, c]), a);
  assert.equal(chosen("z", [a, b, c], 1), b, "the last one is for somebody else");
  assert.equal(chosen("z", [a, c, b], 1), a, "and is not taken from them");
  preferPlanned({ waitingCount: 0 } as never, "of a pool that keeps it otherwise");
  preferPlanned({ waitingCount: 0, _idle: [{}, {}] } as never, "or keeps something else there");
});
