import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StopWorkerError } from "./errors.ts";
import { defineHandler, type HandlerFunction } from "./handlers.ts";
import { defineMessage } from "./message.ts";
import { createMessenger } from "./messenger.ts";
import { createMemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";
import type { WorkerOptions } from "./worker-options.ts";

const Task = defineMessage("task", { retry: { maxRetries: 1, delayMs: 0, jitter: 0 } });

async function setUp(count: number, handle: HandlerFunction<unknown>) {
  const transport = createMemoryTransport();
  const messenger = await createMessenger(
    { transports: { default: { dsn: "memory:" } }, handlers: [defineHandler(Task, handle, { execution: "inline", name: "task" })] },
    { transports: { default: transport } },
  );
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push((await messenger.dispatch(Task, { n })).messageId);
  const worker = (o: Partial<WorkerOptions> = {}): Worker => {
    const made = new Worker({ transport, messenger, maxConcurrency: 1, batchSize: 1, prefetch: 0, pollInterval: 10, ...o });
    made.on("error", () => undefined);
    return made;
  };
  return { transport, worker, ids };
}

describe("a worker", () => {
  test("tells of a retry when it is stored and counted, and neither of a dead letter nor of a snooze", async () => {
    const { transport, worker, ids } = await setUp(2, (payload, context) => {
      if ((payload as { n: number }).n === 0) throw new Error("fails twice");
      if (context.metadata.snoozed === undefined && snoozes++ === 0) context.snooze(0);
    });
    let snoozes = 0;
    const one = worker({ stopWhenEmpty: true });
    const retried: string[] = [];
    one.on("message_retried", ({ receipt, delayMs }) => {
      assert.equal(delayMs, 0);
      assert.equal(transport.getRejected().length > 0, true, "it is stored");
      retried.push(receipt.id);
    });
    await one.start();
    assert.deepEqual(retried, ids.slice(0, 1));
    assert.deepEqual([snoozes, (await transport.listDeadLetters({}, { limit: 10 })).total], [2, 1]);
  });

  test("tells after each receive whether there was anything to do", async () => {
    const { worker } = await setUp(2, () => undefined);
    const one = worker();
    const idle: boolean[] = [];
    one.on("running", ({ isIdle }) => {
      idle.push(isIdle);
      if (isIdle) void one.stop();
    });
    await one.start();
    assert.deepEqual([idle.filter((each) => !each).length, idle.at(-1)], [2, true]);
  });

  test("stops when a handler throws StopWorkerError, or an error marked so; the message is retried by another one", async () => {
    const errors = [new StopWorkerError("the licence has run out"), Object.assign(new Error("mine"), { stopsWorker: true })];
    for (const error of errors) {
      let runs = 0;
      const { transport, worker } = await setUp(3, () => {
        runs += 1;
        if (runs === 2) throw error;
      });
      const one = worker();
      await one.start();
      assert.equal((await one.getStats()).stopReason, "error");
      assert.equal(runs, 2, "nothing more is handled");
      assert.equal(await transport.getQueueDepth(), 2);
      const next = worker({ stopWhenEmpty: true });
      await next.start();
      assert.deepEqual([runs, (await next.getStats()).totalSucceeded, await transport.getQueueDepth()], [4, 2, 0]);
    }
  });
});
