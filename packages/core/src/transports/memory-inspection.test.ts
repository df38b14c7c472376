import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { systemRuntime } from "../clock.ts";
import { OptionsError, TransportError } from "../errors.ts";
import { silentLogger } from "../logger.ts";
import { createJsonSerializer } from "../serializer.ts";
import { delay, idempotencyKey, messageId, priority, queueName, redelivery } from "../stamps.ts";
import { createManualRuntime, testEnvelope } from "../testing/index.ts";
import type { Failure } from "../transport.ts";
import { createMemoryTransport, type MemoryTransport, memoryTransportFactory } from "./memory.ts";

const WORKER = { workerId: "w" };
const FAILURE: Failure = {
  reason: "unrecoverable",
  error: { name: "Error", message: "no" },
  fingerprint: "f",
  attempts: 1,
  workerId: "w",
};

const payloadsOf = (envelopes: readonly { message: { payload: unknown } }[]): unknown[] => envelopes.map((each) => each.message.payload);

describe("what a memory transport shows to tests", () => {
  test("shows what was sent, read back from the record, with the stamps that do not travel", async () => {
    const transport = createMemoryTransport();
    const payload = { list: [1], gone: undefined };
    await transport.send([testEnvelope("t", payload, [priority({ priority: 7 }), delay({ delayMs: 5 })]), testEnvelope("t", 1n)]);
    payload.list.push(2);
    const [sent, ...others] = transport.getSent();
    assert.deepEqual(others, [], "what was refused was not sent");
    assert.deepEqual(sent?.message.payload, { list: [1] }, "a later change to the payload does not reach the message");
    assert.deepEqual([sent?.last(priority), sent?.last(delay)], [{ priority: 7 }, { delayMs: 5 }]);
  });

  test("shows what was acknowledged and what was rejected", async () => {
    const transport = createMemoryTransport();
    await transport.send(["a", "b", "c"].map((payload) => testEnvelope("t", payload)));
    const [a, b, c] = await transport.receive(3, WORKER);
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    await transport.acknowledge([a.receipt, a.receipt]);
    const tries = { failures: 1, crashes: 0, interruptions: 0 };
    await transport.reject([
      { receipt: b.receipt, retryInMs: 10, patch: { tries } },
      { receipt: c.receipt, deadLetter: FAILURE },
      { receipt: a.receipt, release: true },
    ]);
    assert.deepEqual(payloadsOf(transport.getAcknowledged()), ["a"]);
    const [retried, dead, ...others] = transport.getRejected();
    assert.deepEqual(others, [], "what was refused is not shown");
    assert.deepEqual([retried?.envelope?.message.payload, retried?.envelope?.last(redelivery)?.tries], ["b", tries]);
    assert.ok(dead !== undefined && "deadLetter" in dead.rejection);
  });

  test("remembers the newest up to its limit, and nothing when the limit is 0", async () => {
    const few = createMemoryTransport({ recordLimit: 3 });
    for (let n = 0; n < 20; n++) await few.send([testEnvelope("t", n)]);
    assert.deepEqual(payloadsOf(few.getSent()), [17, 18, 19]);
    const none = createMemoryTransport({ recordLimit: 0 });
    await none.send([testEnvelope("t", 1)]);
    assert.deepEqual(none.getSent(), []);
  });

  test("forgets everything on reset, but goes on refusing receipts from before", async () => {
    const transport = createMemoryTransport({ queues: ["q"] });
    const envelope = testEnvelope("t", 1, [queueName({ queue: "q" }), idempotencyKey({ key: "k" })]);
    await transport.send([envelope]);
    const [before] = await transport.receive(1, WORKER);
    assert.ok(before !== undefined);
    transport.reset();
    assert.deepEqual([transport.getSent(), await transport.getQueueDepth(), await transport.receive(9, WORKER)], [[], 0, []]);
    assert.equal((await transport.send([envelope]))[0]?.kind, "accepted");
    const [again] = await transport.receive(1, WORKER);
    assert.equal((await transport.acknowledge([before.receipt]))[0]?.status, "lease_lost");
    assert.ok(again !== undefined);
    assert.equal((await transport.acknowledge([again.receipt]))[0]?.status, "settled");
  });
});

describe("what a memory transport refuses", () => {
  test("refuses to join a transaction", async () => {
    const [result] = await createMemoryTransport().send([testEnvelope("t", 1)], { transaction: {} });
    assert.equal(result?.kind === "refused" && result.error.code, "CAPABILITY_MISSING");
  });

  test("refuses a queue that was not declared, and makes any when none was", async () => {
    const stray = testEnvelope("t", 1, [queueName({ queue: "stray" })]);
    const [refused] = await createMemoryTransport({ queues: ["q"] }).send([stray]);
    assert.equal(refused?.kind === "refused" && refused.error.code, "QUEUE_NOT_FOUND");
    const [accepted] = await createMemoryTransport().send([stray]);
    assert.equal(accepted?.kind, "accepted");
  });

  test("refuses a payload whose getter throws, without failing the others", async () => {
    const broken = {
      get text(): string {
        throw new Error("no");
      },
    };
    const results = await createMemoryTransport().send([testEnvelope("t", broken), testEnvelope("t", 1)]);
    assert.deepEqual(
      results.map((result) => (result.kind === "refused" ? result.error.code : result.kind)),
      ["PAYLOAD_NOT_JSON", "accepted"],
    );
  });

  test("refuses unknown options and a batch size out of range", async () => {
    assert.throws(() => createMemoryTransport({ queue: [] } as object), /did you mean "queues"/);
    const transport = createMemoryTransport();
    for (const max of [-1, 1.5, 10_001, Number.NaN]) await assert.rejects(transport.receive(max, WORKER), OptionsError);
    await assert.rejects(transport.listDeadLetters({}, { limit: 1, cursor: "x" }), OptionsError);
  });

  test("refuses everything after it was closed", async () => {
    const transport = createMemoryTransport();
    await transport.close();
    await assert.rejects(transport.send([testEnvelope("t", 1)]), TransportError);
    await assert.rejects(transport.receive(1, WORKER), { code: "TRANSPORT_UNAVAILABLE" });
  });
});

describe("how long a memory transport knows an idempotency key", () => {
  const keyed = (payload: unknown = 1) => testEnvelope("t", payload, [idempotencyKey({ key: "k" })]);

  test("knows it for the window after the message was handled, then not", async () => {
    const runtime = createManualRuntime();
    const transport = createMemoryTransport({ runtime, idempotencyWindowMs: 1000 });
    const kindOf = async () => (await transport.send([keyed()]))[0]?.kind;
    assert.equal(await kindOf(), "accepted");
    await runtime.clock.advance(5000);
    assert.equal(await kindOf(), "duplicate", "a message that waits keeps its key");
    const [received] = await transport.receive(1, WORKER);
    assert.ok(received !== undefined);
    await transport.acknowledge([received.receipt]);
    await runtime.clock.advance(999);
    assert.equal(await kindOf(), "duplicate");
    await runtime.clock.advance(1);
    assert.equal(await kindOf(), "accepted");
    await runtime.clock.advance(5000);
    assert.equal(await kindOf(), "duplicate", "the window of the first message does not end the key of the second");
  });

  test("knows it while there is a dead letter, until somebody removes that", async () => {
    const transport = createMemoryTransport();
    const [first] = await transport.send([keyed()]);
    const [received] = await transport.receive(1, WORKER);
    assert.ok(received !== undefined && first?.kind === "accepted");
    await transport.reject([{ receipt: received.receipt, deadLetter: FAILURE }]);
    assert.deepEqual((await transport.send([keyed()]))[0], { kind: "duplicate", id: first.id, queue: "default" });
    await transport.removeDeadLetters({}, 1);
    assert.equal((await transport.send([keyed()]))[0]?.kind, "accepted");
  });

  test("takes the same envelope sent again for itself", async () => {
    const transport = createMemoryTransport();
    const envelope = testEnvelope("t", 1);
    await transport.send([envelope]);
    const id = envelope.last(messageId)?.id as string;
    assert.deepEqual(await transport.send([envelope]), [{ kind: "duplicate", id, queue: "default" }]);
    assert.equal(await transport.getQueueDepth(), 1);
  });
});

describe("memory transports from a DSN", () => {
  const make = (dsn: string, more: { options?: object; queues?: string[] } = {}) =>
    memoryTransportFactory.create({
      name: "main",
      dsn,
      options: (more.options ?? {}) as Record<string, unknown>,
      serializer: createJsonSerializer(),
      runtime: systemRuntime,
      logger: silentLogger,
      queues: more.queues ?? [],
    }) as Promise<MemoryTransport>;

  test("share their messages when they have the same name, until the last one is closed", async () => {
    const [a, b, c] = [await make("memory://orders"), await make("in-memory:orders"), await make("memory://other")];
    await a.send([testEnvelope("t", 1)]);
    assert.deepEqual([await a.getQueueDepth(), await b.getQueueDepth(), await c.getQueueDepth()], [1, 1, 0]);
    await a.close();
    await a.close();
    assert.equal(await b.getQueueDepth(), 1);
    await b.close();
    const later = await make("memory://orders");
    assert.equal(await later.getQueueDepth(), 0);
    await Promise.all([c.close(), later.close()]);
  });

  test("have a store of their own when they have no name", async () => {
    const [a, b] = [await make("memory:"), await make("memory://")];
    await a.send([testEnvelope("t", 1)]);
    assert.deepEqual([await a.getQueueDepth(), await b.getQueueDepth()], [1, 0]);
  });

  test("take options from the DSN and from the configuration, which wins", async () => {
    const transport = await make("memory:?recordLimit=5", { options: { recordLimit: 1 } });
    await transport.send([testEnvelope("t", 1), testEnvelope("t", 2)]);
    assert.deepEqual(payloadsOf(transport.getSent()), [2]);
    await assert.rejects(make("memory:?recordLimitt=5"), /config\.transports\.main\.options\.recordLimitt .*did you mean "recordLimit"/);
  });
});

test("sends and drains a hundred thousand messages beside as many for later, without a scan for each", { timeout: 60_000 }, async () => {
  const transport = createMemoryTransport({ recordLimit: 0 });
  const total = 100_000;
  for (let sent = 0; sent < total; sent += 1000) {
    const later = [delay({ delayMs: 3_600_000 })];
    await transport.send(Array.from({ length: 1000 }, (_, n) => testEnvelope("t", n, [priority({ priority: 1 + (n % 10) })])));
    await transport.send(Array.from({ length: 1000 }, (_, n) => testEnvelope("t", n, later)));
  }
  let drained = 0;
  let last = 10;
  for (let received = await transport.receive(100, WORKER); received.length > 0; received = await transport.receive(100, WORKER)) {
    for (const each of received) {
      assert.ok(each.priority <= last);
      last = each.priority;
    }
    drained += received.length;
    await transport.acknowledge(received.map((each) => each.receipt));
  }
  assert.equal(drained, total);
});
