import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { z } from "zod";
import { OptionsError } from "./errors.ts";
import type { Outcome } from "./execute.ts";
import { defineHandler, type HandlerFunction } from "./handlers.ts";
import { createInProcessExecutor } from "./in-process-executor.ts";
import { defineMessage } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import { type ResetError, ResetGate, type Resettable } from "./resets.ts";
import { redelivery } from "./stamps.ts";
import { testEnvelope } from "./testing/envelopes.ts";
import { ManualClock } from "./testing/manual-clock.ts";
import type { Received } from "./transport.ts";
import { createMemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";

const Task = defineMessage("task", { schema: z.object({ n: z.int() }), retry: { maxRetries: 1, delayMs: 0 } });

type MemoryTransport = ReturnType<typeof createMemoryTransport>;

interface Setup {
  readonly handle: HandlerFunction<{ n: number }>;
  readonly services: Readonly<Record<string, Resettable>>;
  readonly every?: number;
}

async function setUp({ handle, services, every }: Setup): Promise<{ messenger: Messenger; transport: MemoryTransport }> {
  const transport = createMemoryTransport();
  const messenger = await createMessenger(
    {
      transports: { default: { dsn: "memory:" } },
      handlers: [defineHandler(Task, handle, { execution: "inline", name: "task" })],
      resettable: services,
      ...(every === undefined ? {} : { worker: { resetEvery: every } }),
    },
    { transports: { default: transport } },
  );
  return { messenger, transport };
}

async function work(o: Setup & { count: number; concurrency: number }): Promise<Worker> {
  const { messenger, transport } = await setUp(o);
  await messenger.dispatchMany(Array.from({ length: o.count }, (_, n) => ({ type: Task, payload: { n } })));
  const worker = new Worker({ transport, messenger, maxConcurrency: o.concurrency, stopWhenEmpty: true, pollInterval: 10 });
  worker.on("error", () => undefined);
  await worker.start();
  return worker;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let lastId = 0;
function receivedOf(): Received {
  const envelope = testEnvelope(Task.name, { n: 1 });
  lastId += 1;
  return { receipt: { id: `m${lastId}`, queue: "default", fence: 1 }, queue: "default", priority: 5, body: "{}", envelope };
}

describe("resettable services", () => {
  test("no message meets what an earlier one left behind, whether that one was handled or failed", async () => {
    let tenant: number | undefined;
    const met: unknown[] = [];
    await work({
      count: 20,
      concurrency: 1,
      services: {
        tenant: () => {
          tenant = undefined;
        },
      },
      handle: ({ n }) => {
        met.push(tenant);
        tenant = n;
        if (n % 3 === 0) throw new Error("failed with a tenant set");
      },
    });
    assert.deepEqual([...new Set(met)], [undefined]);
    assert.equal(met.length, 27, "20 messages and the second attempts of 7 of them");
    assert.equal(tenant, undefined, "the last one is followed by a reset, too");
  });

  test("no reset meets a running handler, and messages that run together share their state", async () => {
    let running = 0;
    let resets = 0;
    const groups = new Map<number, number>();
    await work({
      count: 60,
      concurrency: 4,
      services: {
        slow: {
          async reset() {
            assert.equal(running, 0);
            await turn();
            assert.equal(running, 0);
            resets += 1;
          },
        },
      },
      handle: async ({ n }) => {
        running += 1;
        groups.set(resets, (groups.get(resets) ?? 0) + 1);
        for (let i = 0; i <= n % 5; i++) await turn();
        running -= 1;
      },
    });
    assert.equal(
      [...groups.values()].reduce((a, b) => a + b, 0),
      60,
    );
    assert.ok(
      [...groups.values()].every((size) => size <= 4),
      "nothing starts between the end of a message and the reset",
    );
    assert.equal(resets, groups.size);
  });

  test("happen after every message, after so many, or never", async () => {
    const resetsWith = async (every?: number): Promise<number> => {
      let resets = 0;
      await work({
        count: 12,
        concurrency: 1,
        services: { one: () => void resets++ },
        ...(every === undefined ? {} : { every }),
        handle: turn,
      });
      return resets;
    };
    assert.deepEqual([await resetsWith(), await resetsWith(5), await resetsWith(0)], [12, 2, 0]);
  });

  test("that fail leave the message handled, the others reset, and stop the worker before it handles another one", async () => {
    const seen: number[] = [];
    let others = 0;
    const { messenger, transport } = await setUp({
      services: {
        broken: () => Promise.reject(new Error("connection refused")),
        sound: () => void others++,
      },
      handle: ({ n }) => void seen.push(n),
    });
    await messenger.dispatchMany([0, 1, 2, 3].map((n) => ({ type: Task, payload: { n } })));
    const worker = new Worker({ transport, messenger, maxConcurrency: 1, batchSize: 4, prefetch: 4 });
    const errors: string[] = [];
    worker.on("error", ({ error }) => errors.push(`${error.code} ${error.message}`));
    await worker.start();
    assert.deepEqual(seen, [0]);
    assert.ok(others >= 1);
    assert.equal(errors[0], 'RESET_FAILED the service "broken" could not be reset between two messages (cause: connection refused)');
    const stats = await worker.getStats();
    assert.deepEqual([stats.stopReason, stats.totalSucceeded, stats.totalFailed], ["error", 1, 0]);
    const rest = await transport.receive(10, { workerId: "another" });
    assert.deepEqual(
      rest.map(({ envelope }) => [envelope?.message.payload, envelope?.last(redelivery)?.tries.failures ?? 0]),
      [
        [{ n: 1 }, 0],
        [{ n: 2 }, 0],
        [{ n: 3 }, 0],
      ],
      "the others are back, uncounted",
    );
  });

  test("that do not come back within their time have failed", async () => {
    const clock = new ManualClock();
    const gate = new ResetGate({ services: { hung: () => new Promise(() => undefined) }, every: 1, clock, timeoutMs: 500 });
    const failures: ResetError[] = [];
    gate.onFailed((error) => failures.push(error));
    assert.equal(gate.tryEnter(), true);
    gate.leave();
    const opened = gate.whenOpen();
    await clock.advance(500);
    assert.deepEqual((await opened)?.details, { service: "hung" });
    assert.deepEqual(
      failures.map(({ code, cause }) => `${code}: ${(cause as Error).message}`),
      ["RESET_FAILED: it took longer than 500 ms"],
    );
    assert.equal(gate.tryEnter(), false, "and nothing starts before one has succeeded");
  });

  test("a message that waits for one can be cancelled and interrupted, and has not been started", async () => {
    let started = 0;
    const release = Promise.withResolvers<void>();
    const { messenger } = await setUp({ services: { held: () => release.promise }, handle: () => void started++ });
    const executor = createInProcessExecutor({ messenger, transport: "default", size: 5 });
    const stopping = new AbortController();
    const first = await executor.execute(receivedOf(), stopping.signal);
    const cancelled = receivedOf();
    const waiting = [executor.execute(cancelled, new AbortController().signal), executor.execute(receivedOf(), stopping.signal)];
    executor.cancel?.(cancelled);
    stopping.abort();
    assert.deepEqual([first, ...(await Promise.all(waiting))], [
      { kind: "handled" },
      { kind: "interrupted", reason: "cancelled" },
      { kind: "interrupted", reason: "shutdown" },
    ] satisfies Outcome[]);
    release.resolve();
    await executor.close();
    assert.equal(started, 1);
  });

  test("are functions or have a method of that name", async () => {
    const config = { transports: { default: { dsn: "memory:" } }, resettable: { cache: {} as never } };
    await assert.rejects(createMessenger(config), (error) => error instanceof OptionsError && error.path === "config.resettable.cache");
  });
});
