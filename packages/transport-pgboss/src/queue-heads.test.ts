import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Received, stamps, systemClock, systemRuntime } from "@symphony/core";
import { createManualRuntime } from "@symphony/core/testing";
import pg from "pg";
import type { PgBossTransport } from "./index.ts";
import { type Beginning, type End, type Head, QueueHeads } from "./queue-heads.ts";
import type { QueueInfo } from "./queues.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, messages, send, WORKER } from "./testing/messages.ts";

const url = await testDatabase();
const schema = new TestSchema(url);

const queue = (name: string): QueueInfo => ({
  ...{ name, table: name, policy: "standard", partitioned: true, keyed: false },
  ...{ namesDeadLetters: true, hasFlush: true },
});

const [a, b] = [queue("a"), queue("b")];
const at = (us: number, priority = 5): Head => ({ priority, us });
const NOTHING: End = { count: 0, head: undefined };
const upTo = (head: Head | undefined, count = 100): End => ({ count, head });

test("a claim begins where the last one ended, from the beginning once in a while, and when it has to", async () => {
  const { clock } = createManualRuntime();
  const heads = new QueueHeads(clock);
  const first = heads.next([a, b], false);
  assert.equal(first.isWhole, true, "nothing is known");
  heads.ended([a, b], first, [NOTHING, upTo(at(100), 2_000)], 2_000);
  assert.equal(heads.next([b], false).isWhole, false);
  const second = heads.next([b, a], false);
  assert.deepEqual([second.isWhole, second.head, second.queues], [false, at(100), 1], "nothing of a later queue");
  heads.ended([b, a], second, [upTo(at(50, 3)), NOTHING], 100);
  assert.deepEqual([heads.next([b], false).head, heads.next([a, b], false).queues], [at(50, 3), 2]);
  assert.equal(heads.next([b], true).isWhole, true, "as it is told to");
  await clock.advance(240);
  const third = heads.next([b], false);
  assert.equal(third.isWhole, false);
  await clock.advance(10);
  const whole = heads.next([b], false);
  assert.equal(whole.isWhole, true);
  assert.equal(heads.next([b], false).isWhole, false, "once");
  await clock.advance(200);
  heads.ended([b], whole, [upTo(at(200))], 100);
  await clock.advance(790);
  assert.equal(heads.next([b], false).isWhole, false, "one that took long is not repeated so soon");
  await clock.advance(10);
  assert.equal(heads.next([b], false).isWhole, true);
  heads.ended([b], third, [upTo(at(300), 99)], 100);
  assert.equal(heads.next([b], false).isWhole, true, "the end was met");
});

test("a queue from which little was taken, or that had no more, is looked at from its beginning", () => {
  const heads = new QueueHeads(createManualRuntime().clock);
  for (let n = 0; n < 10; n++) {
    const beginning = heads.next([a], false);
    assert.equal(beginning.isWhole, true);
    heads.ended([a], beginning, [upTo(at(n), 99)], n % 2 === 0 ? 99 : 100);
  }
  for (const us of [10, 11]) {
    assert.equal(heads.next([a], false).isWhole, true);
    heads.ended([a], heads.next([a], false), [upTo(at(us), 99)], 99);
  }
  assert.deepEqual(heads.next([a], false).head, at(11), "by several claims");
});

test("of several queues, one that gives full claims is gone on with after two thousand messages", () => {
  const heads = new QueueHeads(createManualRuntime().clock);
  for (const us of [1, 2]) {
    const beginning = heads.next([a, b], false);
    assert.equal(beginning.isWhole, true);
    heads.ended([a, b], beginning, [NOTHING, upTo(at(us), 1_000)], 1_000);
  }
  const beginning = heads.next([a, b], false);
  assert.deepEqual([beginning.queues, beginning.head], [2, at(2)]);
  // All of it from the first one: nobody has looked at the second.
  heads.ended([a, b], heads.next([a, b], true), [upTo(at(3), 1_000), NOTHING], 1_000);
  heads.ended([a, b], heads.next([a, b], true), [NOTHING, upTo(at(4), 1_000)], 1_000);
  assert.deepEqual(heads.next([a, b], false).head, at(4));
});

test("a claim that began at the head in vain is not repeated so soon", async () => {
  const { clock } = createManualRuntime();
  const heads = new QueueHeads(clock);
  const end = (beginning: Beginning, count: number) => heads.ended([a], beginning, [upTo(at(count), count)], 100);
  for (const tookMs of [0, 1_000]) {
    end(heads.next([a], false), 100);
    const vain = heads.next([a], false);
    assert.equal(vain.isWhole, false);
    await clock.advance(tookMs);
    end(vain, 0);
    end(heads.next([a], false), 100);
    await clock.advance(tookMs === 0 ? 249 : 3_999);
    assert.equal(heads.next([a], false).isWhole, true);
    end(heads.next([a], true), 100);
    await clock.advance(1);
    assert.equal(heads.next([a], false).isWhole, false);
  }
});

test("of claims at the same time the furthest counts, but a look from the beginning counts more", async () => {
  const { clock } = createManualRuntime();
  const heads = new QueueHeads(clock);
  const end = (beginning: Beginning, us: number) => heads.ended([a], beginning, [upTo(at(us))], 100);
  const next = () => heads.next([a], false);
  end(next(), 100);
  const [one, two, three] = [next(), next(), next()];
  end(two, 300);
  end(one, 200);
  assert.deepEqual(next().head, at(300));
  // It found as many as it could take, further back: there may be more.
  await clock.advance(250);
  end(next(), 40);
  assert.deepEqual(next().head, at(40));
  end(three, 400);
  assert.deepEqual(next().head, at(40), "not undone by one that began before");
  end(next(), 80);
  assert.deepEqual(next().head, at(80));
});

test("a look from the beginning that did not take place is still due, unless another one has taken place meanwhile", async () => {
  const { clock } = createManualRuntime();
  const heads = new QueueHeads(clock);
  heads.ended([a], heads.next([a], false), [upTo(at(100))], 100);
  assert.equal(heads.next([a], false).isWhole, false);
  await clock.advance(250);
  const refused = heads.next([a], false);
  assert.deepEqual([refused.isWhole, heads.next([a], false).isWhole], [true, false]);
  heads.undone([a], refused);
  const [whole, late] = [heads.next([a], false), { ...refused }];
  assert.equal(whole.isWhole, true);
  await clock.advance(200);
  heads.ended([a], whole, [upTo(at(200))], 100);
  heads.undone([a], late);
  assert.equal(heads.next([a], false).isWhole, false, "one that took long puts off the next one for longer");
});

/** A transport whose clock stands still until it is told to go on. */
async function frozen(...queues: readonly string[]) {
  let passedMs = 0;
  const startMs = systemClock.monotonic();
  const clock = { ...systemClock, monotonic: () => startMs + passedMs };
  const transport = await schema.open({ queues, runtime: { ...systemRuntime, clock } });
  const receive = async (max: number) => transport.receive(max, { workerId: WORKER, queues });
  return { transport, receive, pass: (ms: number) => (passedMs += ms) };
}

/** A test with such a transport; its messages go with it. */
const stored = (claim: string, body: (t: TestContext) => Promise<void>): void => {
  test(claim, async (t) => {
    t.after(() => schema.query("DELETE FROM $schema.job; DELETE FROM $schema.messenger_bundle"));
    await body(t);
  });
};

/** Sends so many at a time: those that are sent together have one time, and which of them a claim takes first is not promised. */
async function sendGroups(transport: PgBossTransport, queue: string, ...counts: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const count of counts) ids.push(...(await send(transport, ...messages(queue, count))));
  return ids;
}

stored("what comes to lie before that is found after a moment, or when there is nothing else", async () => {
  const { transport, receive, pass } = await frozen("alpha");
  const ids = await sendGroups(transport, "alpha", 1, 199, 200, 199, 401);
  const [first] = await receive(200);
  assert.equal(first?.receipt.id, ids[0]);
  await transport.reject([{ receipt: (first as Received).receipt, release: true }]);
  const next = await receive(200);
  assert.deepEqual(
    next.map(({ receipt }) => receipt.id),
    ids.slice(200, 400),
    "where the last one ended",
  );
  pass(250);
  const late = await receive(200);
  assert.equal(late[0]?.receipt.id, ids[0], "the oldest one first again");
  await transport.reject([{ receipt: (late[0] as Received).receipt, release: true }]);
  const rest = (await receive(1_000)).map(({ receipt }) => receipt.id);
  assert.deepEqual(new Set(rest), new Set([...ids.slice(599), ids[0]]), "fewer than asked: all that there is");
});

stored("what comes to lie before that is worked off at once when it has been found, however much it is", async () => {
  const { transport, receive, pass } = await frozen("alpha");
  const ids = await sendGroups(transport, "alpha", 600, 200, 200, 200, 800);
  const released = await receive(600);
  await receive(200);
  await transport.reject(released.map(({ receipt }) => ({ receipt, release: true })));
  const next = async (): Promise<string[]> => (await receive(200)).map(({ receipt }) => receipt.id);
  assert.deepEqual(await next(), ids.slice(800, 1_000));
  pass(250);
  assert.deepEqual(new Set([...(await next()), ...(await next()), ...(await next())]), new Set(ids.slice(0, 600)));
  assert.deepEqual(await next(), ids.slice(1_000, 1_200));
});

stored("what somebody has locked is passed over while he does, and found where the last claim has ended when it was in vain", async (t) => {
  const { transport, receive, pass } = await frozen("alpha");
  await sendGroups(transport, "alpha", 200, 200, 200, 200);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.after(() => client.end());
  const table = `${schema.name}.${(await schema.queueOf("alpha")).table}`;
  const lock = async (then: string) => client.query(`BEGIN; SELECT 1 FROM ${table} FOR UPDATE; ${then}`);
  const count = async (max: number): Promise<number> => (await receive(max)).length;
  assert.equal(await count(200), 200);
  await lock("");
  assert.equal(await count(200), 0);
  await client.query("COMMIT");
  pass(250);
  assert.equal(await count(100), 100);
  await lock("ROLLBACK");
  assert.equal(await count(100), 100);
  const older = new pg.Client({ connectionString: url });
  await older.connect();
  t.after(() => older.end());
  await older.query("BEGIN; SELECT pg_current_xact_id()");
  await lock("ROLLBACK");
  assert.equal(await count(100), 100);
  assert.equal(await count(200), 300 - 100);
  assert.equal(await count(200), 100);
});

stored("order of queues and priorities is kept, wherever the last claim has ended", async () => {
  const { transport, receive } = await frozen("alpha");
  const priority = (priority: number) => stamps.priority({ priority });
  await send(transport, ...messages("alpha", 300, priority(8)), ...messages("alpha", 300), ...messages("alpha", 300, priority(-2)));
  const priorities = async (max: number): Promise<string> => {
    const received = (await receive(max)).map((each) => each.priority);
    return [...Map.groupBy(received, (each) => each)].map(([each, some]) => `${some.length} of ${each}`).join(", ");
  };
  assert.equal(await priorities(200), "200 of 8");
  assert.equal(await priorities(200), "100 of 8, 100 of 5");
  await send(transport, message("alpha", {}, priority(9)), message("alpha", {}, priority(6)));
  assert.equal(await priorities(102), "1 of 9, 1 of 6, 100 of 5");
  assert.equal(await priorities(150), "100 of 5, 50 of -2");
  await send(transport, message("alpha"));
  assert.equal(await priorities(150), "1 of 5, 149 of -2");
  assert.equal(await priorities(150), "101 of -2");
  await send(transport, ...messages("alpha", 400), ...messages("alpha", 200, priority(1)));
  const [first] = await receive(150);
  assert.equal(await priorities(150), "150 of 5");
  // Before the head, and before what is less urgent.
  await transport.reject([{ receipt: (first as Received).receipt, release: true }]);
  assert.equal(await priorities(150), "101 of 5, 49 of 1");
});

stored("an earlier queue is always looked at, wherever the last claim has ended in a later one", async () => {
  const { transport, receive } = await frozen("alpha", "beta");
  await send(transport, ...messages("alpha", 300), ...messages("beta", 6_000));
  const queues = async (max: number): Promise<string> => {
    const received = (await receive(max)).map((each) => each.queue);
    return [...Map.groupBy(received, (each) => each)].map(([each, some]) => `${some.length} of ${each}`).join(", ");
  };
  const [first] = await receive(150);
  assert.equal(await queues(150), "150 of alpha");
  assert.equal(await queues(2_500), "2500 of beta");
  await transport.reject([{ receipt: (first as Received).receipt, release: true }]);
  assert.equal(await queues(150), "1 of alpha, 149 of beta");
  assert.equal(await queues(150), "150 of beta");
  await send(transport, message("alpha"));
  assert.equal(await queues(150), "1 of alpha, 149 of beta");
});
