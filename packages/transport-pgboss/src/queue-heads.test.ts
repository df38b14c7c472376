import assert from "node:assert/strict";
import { test } from "node:test";
import { type Received, stamps, systemClock, systemRuntime } from "@symphony/core";
import { createManualRuntime } from "@symphony/core/testing";
import { QueueHeads } from "./queue-heads.ts";
import type { QueueInfo } from "./queues.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, messages, send, WORKER } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());

const queue = (name: string): QueueInfo => ({
  ...{ name, table: name, policy: "standard", partitioned: true, keyed: false },
  ...{ namesDeadLetters: true, hasFlush: true },
});

test("a claim begins where the last one ended, from the beginning once in a while, and when it has to", async () => {
  const { clock } = createManualRuntime();
  const heads = new QueueHeads(clock);
  const [a, b] = [queue("a"), queue("b")];
  assert.equal(heads.of([a, b], false).isWhole, true, "nothing is known");
  heads.taken(b, { priority: 5, us: 100 });
  assert.deepEqual(heads.of([a, b], false), { priorities: [null, 5], us: [null, 100], isWhole: false });
  heads.taken(b, { priority: 5, us: 90 });
  assert.deepEqual(heads.of([b], false).us, [100], "of two claims at a time the later one may answer first");
  heads.taken(b, { priority: 3, us: 50 });
  assert.deepEqual(heads.of([b], false), { priorities: [3], us: [50], isWhole: false });
  assert.equal(heads.of([b], true).isWhole, true);
  await clock.advance(240);
  assert.equal(heads.of([b], false).isWhole, false);
  await clock.advance(10);
  assert.equal(heads.of([b], false).isWhole, true);
  assert.equal(heads.of([b], false).isWhole, false, "once");
  heads.looked([b], 200);
  await clock.advance(790);
  assert.equal(heads.of([b], false).isWhole, false, "one that took long is not repeated so soon");
  await clock.advance(10);
  assert.equal(heads.of([b], false).isWhole, true);
  heads.forget([b]);
  assert.equal(heads.of([b], false).isWhole, true);
});

/** A transport whose clock stands still until it is told to go on. */
async function frozen() {
  let passedMs = 0;
  const startMs = systemClock.monotonic();
  const clock = { ...systemClock, monotonic: () => startMs + passedMs };
  const transport = await schema.open({ queues: ["alpha"], runtime: { ...systemRuntime, clock } });
  const receive = async (max: number) => transport.receive(max, { workerId: WORKER, queues: ["alpha"] });
  return { transport, receive, pass: (ms: number) => (passedMs += ms) };
}

test("what comes to lie before that is found after a moment, or when there is nothing else", async () => {
  const { transport, receive, pass } = await frozen();
  const ids = await send(transport, ...messages("alpha", 1_000));
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
  await clear();
});

test("priorities are kept, wherever the last claim has ended", async () => {
  const { transport, receive } = await frozen();
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
  await clear();
});

async function clear(): Promise<void> {
  await schema.query("DELETE FROM $schema.job");
  await schema.query("DELETE FROM $schema.messenger_bundle");
}
