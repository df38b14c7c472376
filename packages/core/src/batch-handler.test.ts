import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { z } from "zod";
import { type BatchFunction, type BatchItem, type BatchOptions, defineBatchHandler } from "./batch-handler.ts";
import { OptionsError, UnrecoverableError } from "./errors.ts";
import { defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import { waitFor } from "./testing/wait-for.ts";
import { createMemoryTransport, type MemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";
import type { WorkerOptions } from "./worker-options.ts";

const Reading = defineMessage("reading", { schema: z.object({ n: z.int() }), retry: { maxRetries: 1, delayMs: 1, jitter: 0 } });
type Items = readonly BatchItem<{ n: number }>[];
const numbers = (items: Items): number[] => items.map((item) => item.payload.n);

interface Kit {
  readonly transport: MemoryTransport;
  readonly messenger: Messenger;
  send(count: number): Promise<readonly string[]>;
  /** Consumes until nothing is left. */
  drain(options?: Partial<WorkerOptions>): Promise<Worker>;
}

async function kit(t: TestContext, handle: BatchFunction<{ n: number }>, options: Partial<BatchOptions> = {}): Promise<Kit> {
  const transport = createMemoryTransport();
  const messenger = await createMessenger(
    {
      transports: { default: { dsn: "memory:" } },
      handlers: [defineBatchHandler(Reading, handle, { size: 10, maxWaitMs: 20, execution: "inline", ...options })],
    },
    { transports: { default: transport } },
  );
  t.after(() => messenger.close());
  return {
    transport,
    messenger,
    async send(count) {
      const sent = await messenger.dispatchMany(Array.from({ length: count }, (_, n) => ({ type: Reading, payload: { n } })));
      return sent.map((each) => ("messageId" in each ? each.messageId : ""));
    },
    async drain(more = {}) {
      const worker = new Worker({
        transport,
        messenger,
        maxConcurrency: 10,
        batchSize: 10,
        pollInterval: 20,
        stopWhenEmpty: true,
        ...more,
      });
      await worker.start();
      return worker;
    },
  };
}

describe("batch handlers", () => {
  test("gets messages in batches of its size, in order; the last ones after the longest wait", async (t) => {
    const batches: number[][] = [];
    const { send, drain, transport } = await kit(t, (items) => void batches.push(numbers(items)));
    await send(25);
    await drain();
    assert.deepEqual(
      batches.flat(),
      Array.from({ length: 25 }, (_, n) => n).sort((a, b) => a - b),
    );
    assert.deepEqual(
      batches.map((batch) => batch.length),
      [10, 10, 5],
    );
    assert.equal(transport.getAcknowledged().length, 25);
  });

  test("gives each message an outcome of its own: handled, failed, given up, snoozed", async (t) => {
    const seen: number[] = [];
    const { send, drain, transport } = await kit(t, (items) => {
      for (const item of items) {
        const first = !seen.includes(item.payload.n);
        seen.push(item.payload.n);
        if (item.payload.n === 1 && first) item.fail(new Error("once"));
        else if (item.payload.n === 2) item.fail(new UnrecoverableError("never"));
        else if (item.payload.n === 3 && first) item.snooze(1);
        else item.ack();
      }
    });
    await send(5);
    // What comes back in a millisecond is waited for.
    while ((await transport.getCounts())[0]?.completed !== 4) await drain();
    assert.deepEqual(seen.sort(), [0, 1, 1, 2, 3, 3, 4]);
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    assert.deepEqual(
      deadLetters.map((letter) => [(JSON.parse(letter.body) as { payload: { n: number } }).payload.n, letter.failure.reason]),
      [[2, "unrecoverable"]],
    );
    const attempts = transport.getRejected().map(({ body }) => (JSON.parse(body) as { tries?: { failures: number } }).tries?.failures ?? 0);
    assert.deepEqual(attempts.sort(), [0, 1, 1], "a snooze counts nothing");
  });

  test("fails what has no outcome when it throws, and only that", async (t) => {
    const [firsts, others]: [number[], number[]] = [[], []];
    const { send, drain, transport } = await kit(t, (items) => {
      const [first, ...rest] = numbers(items);
      firsts.push(...(first === undefined ? [] : [first]));
      others.push(...rest);
      items[0]?.ack();
      throw new Error("the database said no");
    });
    await send(3);
    const failed = async () => (await transport.getCounts())[0]?.failed ?? 0;
    while (transport.getAcknowledged().length + (await failed()) < 3) await drain();
    // Three in the first batch. The two that come again do so together or, when that takes its time, one after the other.
    assert.deepEqual(others.slice(0, 2), [1, 2]);
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    assert.deepEqual([transport.getAcknowledged().length, deadLetters.length], [firsts.length, 3 - firsts.length]);
    assert.equal(transport.getRejected().length, others.length);
    for (const { failure } of deadLetters) assert.equal(failure.error.message, "the database said no");
  });

  test("fails a message that was left out although others were decided", async (t) => {
    const { send, drain, transport } = await kit(t, (items) => {
      for (const item of items) if (item.payload.n !== 1) item.ack();
    });
    await send(3);
    const worker = await drain({ failureLimit: 1 });
    assert.equal((await worker.getStats()).totalFailed, 1);
    const [rejected] = transport.getRejected();
    assert.match(JSON.stringify(JSON.parse(rejected?.body ?? "{}").history), /BATCH_OUTCOME_MISSING/);
  });

  test("lets a message go that is cancelled while it waits for its batch", async (t) => {
    const batches: number[][] = [];
    const { send, messenger, transport } = await kit(t, (items) => void batches.push(numbers(items)), { maxWaitMs: 60_000, size: 3 });
    const [first] = await send(2);
    const worker = new Worker({ transport, messenger, maxConcurrency: 10, pollInterval: 20 });
    const ended = worker.start();
    await waitFor(() => worker.progress.inFlight === 2, { timeoutMs: 5_000 });
    await messenger.cancel(first ?? "");
    await waitFor(() => worker.progress.inFlight === 1, { timeoutMs: 5_000 });
    await send(2);
    await waitFor(() => batches.length > 0, { timeoutMs: 5_000 });
    assert.deepEqual(batches, [[1, 0, 1]]);
    await worker.stop("manual");
    await ended;
  });

  test("hands back, uncounted, what still waits for its batch when the worker stops", async (t) => {
    const { send, messenger, transport } = await kit(t, () => assert.fail("no batch was to run"), { maxWaitMs: 60_000, size: 3 });
    await send(2);
    const worker = new Worker({ transport, messenger, maxConcurrency: 10, pollInterval: 20, shutdownTimeout: 50 });
    const ended = worker.start();
    await waitFor(() => worker.progress.inFlight === 2, { timeoutMs: 5_000 });
    await worker.stop("manual");
    await ended;
    assert.equal(await transport.getQueueDepth(), 2);
    for (const { body } of transport.getRejected()) assert.equal((JSON.parse(body) as { tries: { failures: number } }).tries.failures, 0);
  });

  test("refuses options that cannot be", () => {
    const handle = (): void => undefined;
    const refused: readonly object[] = [
      {},
      { size: 1 },
      { size: 10, maxWaitMs: -1 },
      { size: 10, transactional: true },
      { size: 10, sise: 1 },
    ];
    for (const options of refused)
      assert.throws(() => defineBatchHandler(Reading, handle, options as BatchOptions), OptionsError, JSON.stringify(options));
  });
});
