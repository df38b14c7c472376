import assert from "node:assert/strict";
import { priority, queueName } from "../../stamps.ts";
import type { Receipt, Received } from "../../transport.ts";
import { type Claim, type ContractKit, envelopeOf, ids } from "./kit.ts";

const UNDECODABLE: readonly { body: string; code: string }[] = [
  { body: "null", code: "RECORD_UNDECODABLE" },
  { body: '"text"', code: "RECORD_UNDECODABLE" },
  { body: "42", code: "RECORD_UNDECODABLE" },
  { body: "[]", code: "RECORD_UNDECODABLE" },
  { body: "{}", code: "RECORD_UNDECODABLE" },
  { body: '{"v":1}', code: "RECORD_UNDECODABLE" },
  { body: '{"v":1,"id":5,"type":"t","tv":1,"root":"r","depth":0,"at":0,"payload":null}', code: "RECORD_UNDECODABLE" },
  { body: '{"v":99,"id":"x","type":"t","future":{"field":[1]},"payload":{"a":1}}', code: "RECORD_TOO_NEW" },
];

export function receivingTests(claim: Claim): void {
  claim("receives nothing from an empty queue, at once", async (kit) => {
    assert.deepEqual(await kit.receive(10), []);
  });

  claim("receives by priority, and among equals the oldest first", async (kit) => {
    const order: { id: string; priority: number; age: number }[] = [];
    for (const [age, value] of [5, 1, 10, 5, 10, 1, 7, 5].entries()) {
      const [id] = await kit.send(kit.envelope({ age }, priority({ priority: value })));
      order.push({ id: id as string, priority: value, age });
      await kit.tick(1);
    }
    order.sort((a, b) => b.priority - a.priority || a.age - b.age);
    const first = await kit.receive(3);
    const rest = await kit.drain(5);
    assert.deepEqual(
      ids([...first, ...rest]),
      order.map((each) => each.id),
    );
    assert.deepEqual(
      [...first, ...rest].map((each) => each.priority),
      order.map((each) => each.priority),
    );
  });

  claim("receives no more than it was asked for, and leaves the rest to others", async (kit) => {
    const sentIds = await kit.send(...kit.envelopes(10));
    const three = await kit.receive(3);
    assert.equal(three.length, 3);
    const rest = await kit.drain(7, 2);
    assert.deepEqual(ids([...three, ...rest]).sort(), sentIds.sort());
  });

  claim("takes nothing from a queue while an earlier one has messages", (kit) => precedence(kit), { queues: 3 });

  claim(
    "receives only from the queues that were asked for",
    async (kit) => {
      await kit.send(kit.envelope({}, queueName({ queue: kit.queueAt(0) })), kit.envelope({}, queueName({ queue: kit.queueAt(1) })));
      const received = await kit.receive(10, { queues: [kit.queueAt(1)] });
      assert.deepEqual(
        received.map((each) => each.queue),
        [kit.queueAt(1)],
      );
      assert.deepEqual(await kit.receive(10, { queues: [kit.queueAt(1)] }), []);
      assert.equal((await kit.one()).queue, kit.queueAt(0));
    },
    { queues: 2 },
  );

  claim(
    "receives from all queues when none is named",
    async (kit) => {
      await kit.send(...kit.queues.map((queue) => kit.envelope({}, queueName({ queue }))));
      await kit.beat("everywhere");
      const received: Received[] = [];
      for (const _ of kit.queues) received.push(...(await kit.transport.receive(1, { workerId: "everywhere" })));
      assert.deepEqual(received.map((each) => each.queue).sort(), [...kit.queues].sort());
    },
    { queues: 3 },
  );

  claim("stops at maxBytes, returns at least one message and keeps the others for later", async (kit) => {
    await kit.send(...Array.from({ length: 8 }, (_, n) => kit.envelope({ n, text: "x".repeat(10_000) })));
    const some = await kit.receive(8, { maxBytes: 25_000 });
    const bytes = some.map((each) => Buffer.byteLength(each.body));
    assert.ok(some.length >= 2 && some.length <= 3, `${some.length} messages of 10 kB were received, the limit was 25 kB`);
    assert.ok(bytes.slice(0, -1).reduce((sum, each) => sum + each, 0) <= 25_000);
    assert.equal((await kit.receive(8, { maxBytes: 1 })).length, 1);
    await kit.drain(8 - some.length - 1);
  });

  claim("never delivers one message to two of many concurrent receivers", (kit) => concurrency(kit));

  claim("gives a receipt that survives a trip through JSON", async (kit) => {
    await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    const copy = JSON.parse(JSON.stringify(receipt)) as Receipt;
    const settled = await kit.transport.acknowledge([copy]);
    assert.deepEqual(settled, [{ receipt: copy, status: "settled" }]);
    await kit.assertGone(receipt);
  });

  claim("gives a body that is the whole record, for another thread to decode", async (kit) => {
    const [id] = await kit.send(kit.envelope({ n: 1 }));
    const record = JSON.parse((await kit.one()).body) as Record<string, unknown>;
    assert.equal(record.id, id);
    assert.deepEqual(record.payload, { n: 1 });
  });

  for (const { body, code } of UNDECODABLE) {
    claim(
      `returns a record that cannot be decoded with its error and bytes: ${body}`,
      async (kit) => {
        const id = await kit.fixture.corrupt?.({ queue: kit.queue, body });
        const [good] = await kit.send(kit.envelope({ good: true }));
        const received = await kit.drain(2);
        const bad = received.find((each) => each.receipt.id === id);
        assert.ok(bad !== undefined, "the undecodable record is delivered under the id that it has in the store");
        assert.equal(bad.envelope, undefined);
        assert.equal(bad.decodeError?.code, code);
        assert.deepEqual(JSON.parse(bad.body), JSON.parse(body));
        assert.ok(ids(received).includes(good as string), "its neighbours are delivered all the same");
        await kit.acknowledge(bad);
      },
      { needs: ["corrupt"] },
    );

    claim(
      `hands back a record that cannot be decoded as it was, whatever the patch says: ${body}`,
      async (kit) => {
        await kit.fixture.corrupt?.({ queue: kit.queue, body });
        const { receipt } = await kit.one();
        const patch = { tries: { failures: 0, crashes: 0, interruptions: 1 } };
        assert.equal((await kit.transport.reject([{ receipt, release: true, patch }]))[0]?.status, "settled");
        const again = await kit.one();
        assert.equal(again.decodeError?.code, code);
        assert.deepEqual(withoutCounters(JSON.parse(again.body)), JSON.parse(body));
        assert.equal((await kit.transport.reject([{ receipt: again.receipt, retryInMs: 0, patch }]))[0]?.status, "settled");
        assert.deepEqual(withoutCounters(JSON.parse((await kit.one()).body)), JSON.parse(body));
      },
      { needs: ["corrupt"] },
    );
  }
}

/** A record that is an object may carry the counters; anything else has no place for them. */
function withoutCounters(record: unknown): unknown {
  if (typeof record !== "object" || record === null || Array.isArray(record)) return record;
  const { tries: _, ...rest } = record as Record<string, unknown>;
  return rest;
}

async function precedence(kit: ContractKit): Promise<void> {
  const [first, second, third] = [kit.queueAt(0), kit.queueAt(1), kit.queueAt(2)];
  const to = (queue: string, value: number) => kit.envelope({ queue }, queueName({ queue }), priority({ priority: value }));
  // The later a queue is in the list, the older and the more urgent its messages: the list must win.
  await kit.send(to(third, 10), to(third, 10));
  await kit.tick(1);
  await kit.send(to(second, 5), to(second, 5), to(second, 5));
  await kit.tick(1);
  await kit.send(to(first, 1), to(first, 1));
  const order = [first, first, second, second, second, third, third];
  const seen: string[] = [];
  while (seen.length < order.length) {
    const received = await kit.receive(2, { queues: [first, second, third] });
    assert.ok(received.length > 0, `${order.length - seen.length} messages are waiting and must be received`);
    seen.push(...received.map((each) => each.queue));
  }
  assert.deepEqual(seen, order);
  await kit.send(to(first, 10), to(second, 1));
  assert.equal((await kit.receive(1, { queues: [second, first] }))[0]?.queue, second, "the caller's order counts, not the transport's");
}

async function concurrency(kit: ContractKit): Promise<void> {
  const total = 600;
  const sentIds = await kit.send(...kit.envelopes(total));
  const transports = [kit.transport, await kit.other()] as const;
  const seen: Received[] = [];
  const deadline = kit.stopwatch() + 30_000;
  const loop = async (n: number): Promise<void> => {
    const transport = transports[n % 2] ?? kit.transport;
    const workerId = `contract-worker-${n}`;
    let held: readonly Received[] = [];
    while (seen.length < total && kit.stopwatch() < deadline) {
      const acknowledge = held.map((each) => each.receipt);
      held = await kit.receive(7, { workerId, acknowledge }, transport);
      seen.push(...held);
      // Lets the other loops in, also where everything happens in one process.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    if (held.length > 0) await transport.acknowledge(held.map((each) => each.receipt));
  };
  await Promise.all(Array.from({ length: 8 }, (_, n) => loop(n)));
  assert.equal(new Set(ids(seen)).size, seen.length, "no message was delivered twice");
  assert.deepEqual(ids(seen).sort(), sentIds.sort(), "every message was delivered");
  for (const each of seen) envelopeOf(each);
  await kit.assertNothingWaits();
}
