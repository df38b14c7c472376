import assert from "node:assert/strict";
import type { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { z } from "zod";
import type { MessengerConfig } from "./config.ts";
import { MessageCancelledError, RecoverableError, TransportError, UnrecoverableError } from "./errors.ts";
import type { StopReason, WorkerEvents } from "./events.ts";
import type { Executor, Outcome } from "./execute.ts";
import { defineHandler, type HandlerContext, type HandlerFunction } from "./handlers.ts";
import { createInProcessExecutor } from "./in-process-executor.ts";
import { LINGER_MS } from "./linger.ts";
import { defineMessage, type RetryOptions } from "./message.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import { suspect } from "./stamps.ts";
import { testEnvelope } from "./testing/envelopes.ts";
import { createManualRuntime } from "./testing/manual-clock.ts";

import { waitFor } from "./testing/wait-for.ts";
import type { Received, ReceiveOptions } from "./transport.ts";
import { createMemoryTransport } from "./transports/memory.ts";
import { Worker } from "./worker.ts";
import type { WorkerOptions } from "./worker-options.ts";

type MemoryTransport = ReturnType<typeof createMemoryTransport>;

interface Setup {
  readonly messenger: Messenger;
  readonly transport: MemoryTransport;
  readonly worker: (options?: Partial<WorkerOptions>) => Worker;
}

const Task = defineMessage("task", { schema: z.object({ n: z.int() }) });

async function setUp(
  handle: HandlerFunction<{ n: number }>,
  config: { retry?: RetryOptions; more?: Partial<MessengerConfig> } = {},
): Promise<Setup> {
  const transport = createMemoryTransport();
  const messenger = await createMessenger(
    {
      transports: { default: { dsn: "memory:", ...(config.retry === undefined ? {} : { retry: config.retry }) } },
      handlers: [defineHandler(Task, handle, { execution: "inline" })],
      ...config.more,
    },
    { transports: { default: transport } },
  );
  return { messenger, transport, worker: (options = {}) => new Worker({ transport, messenger, pollInterval: 20, ...options }) };
}

const dispatchMany = (messenger: Messenger, count: number): Promise<unknown> =>
  messenger.dispatchMany(Array.from({ length: count }, (_, n) => ({ type: Task, payload: { n } })));

/** Like `events.once`, which would reject at the first `error` event. */
function once<Name extends keyof WorkerEvents>(worker: Worker, name: Name): Promise<WorkerEvents[Name][0]> {
  return new Promise((resolve) => (worker as EventEmitter).once(name, resolve));
}

async function run(worker: Worker): Promise<StopReason> {
  const stopped = once(worker, "stop");
  await worker.start();
  return (await stopped).reason;
}

describe("Worker", () => {
  test("handles every message once and stops when the queue is empty", async () => {
    const seen: number[] = [];
    const { messenger, worker } = await setUp(async ({ n }) => void seen.push(n));
    await dispatchMany(messenger, 500);
    const one = worker({ batchSize: 50, maxConcurrency: 20, stopWhenEmpty: true });
    await run(one);
    assert.deepEqual(
      [...seen].sort((a, b) => a - b),
      Array.from({ length: 500 }, (_, n) => n),
    );
    const stats = await one.getStats();
    assert.equal(stats.totalProcessed, 500);
    assert.equal(stats.totalSucceeded, 500);
    assert.equal(stats.currentQueueDepth, 0);
  });

  test("never runs more than maxConcurrency handlers at a time", async () => {
    let running = 0;
    let most = 0;
    const { messenger, worker } = await setUp(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    });
    await dispatchMany(messenger, 200);
    await run(worker({ batchSize: 100, maxConcurrency: 7, stopWhenEmpty: true }));
    assert.equal(most, 7);
  });

  test("receives twice at a time while its handlers wait for messages, and once when messages wait for them", async () => {
    const turns = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    let isBusy = false;
    const { messenger, transport, worker } = await setUp(() => (isBusy ? turns(3) : undefined));
    await dispatchMany(messenger, 400);
    const most = { idle: 0, busy: 0 };
    let underWay = 0;
    const receive = transport.receive.bind(transport);
    transport.receive = async (max, options) => {
      underWay += 1;
      const phase = isBusy ? "busy" : "idle";
      most[phase] = Math.max(most[phase], underWay);
      // As a store that takes longer than the handlers.
      if (!isBusy) await turns(20);
      const received = await receive(max, options);
      underWay -= 1;
      return received;
    };
    const options = { batchSize: 10, maxConcurrency: 10, stopWhenEmpty: true };
    const stats = async (one: Worker) => (await one.getStats()).totalProcessed;
    const first = worker(options);
    await run(first);
    assert.deepEqual([await stats(first), most.idle, underWay], [400, 2, 0]);
    // A store that answers at once never lets handlers wait that take some time.
    isBusy = true;
    await dispatchMany(messenger, 400);
    const second = worker(options);
    await run(second);
    assert.deepEqual([await stats(second), most.busy, underWay], [400, 1, 0]);
  });

  test("a second receive that the store refuses, since it is busy with others, says nothing about the queue", async () => {
    const turns = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    const { messenger, transport, worker } = await setUp(() => undefined);
    await dispatchMany(messenger, 400);
    const refused: number[] = [];
    let receives = 0;
    const receive = transport.receive.bind(transport);
    transport.receive = async (max, options) => {
      receives += 1;
      if (options.isBeside === true) {
        refused.push(receives);
        options.onBusy?.();
        return [];
      }
      await turns(20);
      return receive(max, options);
    };
    const one = worker({ batchSize: 10, maxConcurrency: 10, stopWhenEmpty: true });
    const idle: boolean[] = [];
    (one as EventEmitter).on("running", ({ isIdle }: { isIdle: boolean }) => idle.push(isIdle));
    await run(one);
    assert.equal((await one.getStats()).totalProcessed, 400);
    assert.equal(idle.lastIndexOf(false) + 1, idle.indexOf(true), "idle at the end alone");
    const [first, second = Number.POSITIVE_INFINITY] = refused;
    assert.ok(first !== undefined && second - first >= 32, `asked for more at receives ${refused.join(" and ")}`);
  });

  test("a message limit holds with two receives at a time", async () => {
    const { messenger, transport, worker } = await setUp(() => undefined);
    await dispatchMany(messenger, 300);
    const receive = transport.receive.bind(transport);
    transport.receive = async (max, options) => {
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      return receive(max, options);
    };
    const one = worker({ batchSize: 10, maxConcurrency: 10, messageLimit: 155 });
    assert.equal(await run(one), "message_limit");
    assert.equal((await one.getStats()).totalProcessed, 155);
    assert.equal(await transport.getQueueDepth(), 145);
  });

  test("lets handlers that wait for nothing end before it starts more than some of them", async () => {
    let running = 0;
    let most = 0;
    const { messenger, worker } = await setUp(async () => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running -= 1;
    });
    await dispatchMany(messenger, 500);
    await run(worker({ batchSize: 500, maxConcurrency: 500, stopWhenEmpty: true }));
    assert.ok(most <= 32, `${most} at a time`);
  });

  test("handles what ends at once like everything else: each once, within the limit, with retries, and with room for other events", async () => {
    const seen: number[] = [];
    const events: string[] = [];
    const { messenger, transport, worker } = await setUp(
      ({ n }) => {
        seen.push(n);
        if (n === 100 && seen.indexOf(100) === seen.length - 1) throw new Error("once");
      },
      { retry: { delayMs: 0, jitter: 0 } },
    );
    await dispatchMany(messenger, 2_000);
    const one = worker({ batchSize: 500, maxConcurrency: 1, messageLimit: 1_501 });
    one.on("message_received", () => events.push("received"));
    one.on("message_processed", ({ decision }) => events.push(decision.kind));
    one.on("error", () => undefined);
    const turns: number[] = [];
    const watch = (): void => {
      turns.push(seen.length);
      if (seen.length < 1_501) setImmediate(watch);
    };
    setImmediate(watch);
    assert.equal(await run(one), "message_limit");
    assert.equal(seen.length, 1_501);
    assert.equal(new Set(seen).size, seen.length - seen.filter((n) => n === 100).length + 1);
    assert.equal(
      events.filter((_, i) => i % 2 === 0).every((each) => each === "received"),
      true,
      "one after the other in one slot",
    );
    assert.equal(events.filter((each) => each === "retry").length, 1);
    const stats = await one.getStats();
    assert.deepEqual([stats.totalProcessed, stats.totalFailed], [1_501, 1]);
    assert.ok(
      turns.some((count) => count > 0 && count < 1_501),
      "other events in between",
    );
    await run(worker({ batchSize: 500, maxConcurrency: 100, stopWhenEmpty: true }));
    assert.deepEqual([new Set(seen).size, seen.length, await transport.getQueueDepth()], [2_000, 2_001, 0]);
  });

  test("starts handlers in all of its slots before anything else happens, when they wait", async () => {
    const release = Promise.withResolvers<void>();
    let running = 0;
    const { messenger, worker } = await setUp(() => {
      running += 1;
      return release.promise;
    });
    await dispatchMany(messenger, 200);
    const one = worker({ batchSize: 200, maxConcurrency: 150 });
    const started = run(one);
    await once(one, "message_received");
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(running, 150);
    release.resolve();
    await one.stop();
    await started;
  });

  test("does not receive beyond its slots while handlers are slow", async () => {
    const release = Promise.withResolvers<void>();
    const { messenger, transport, worker } = await setUp(() => release.promise);
    await dispatchMany(messenger, 50);
    const one = worker({ batchSize: 50, maxConcurrency: 4 });
    const started = run(one);
    await once(one, "message_received");
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(one.inFlight, 4);
    assert.equal(await transport.getQueueDepth(), 46);
    release.resolve();
    await one.stop();
    await started;
  });

  test("goes on receiving when everything that it held was suspect and has gone into isolation", async () => {
    const seen: number[] = [];
    const { messenger, transport, worker } = await setUp(({ n }) => void seen.push(n));
    const suspects = Array.from({ length: 4 }, (_, n) => testEnvelope("task", { n }, [suspect({ crashes: 1 })]));
    await transport.send(suspects);
    await dispatchMany(messenger, 1);
    const isolated: Received[] = [];
    // All slots and the whole batch: nothing is left that could end and make room.
    const one = worker({
      batchSize: 4,
      maxConcurrency: 4,
      prefetch: 0,
      pollInterval: 3_600_000,
      fleet: { isolate: (some) => void isolated.push(...some) },
    });
    const started = run(one);
    await waitFor(() => seen.length === 1, { what: "the message behind the suspects", timeoutMs: 5_000 });
    assert.equal(isolated.length, 4);
    assert.equal(one.inFlight, 0, "it has let go of them");
    await one.stop();
    await started;
  });

  test("starts no message beyond messageLimit and gives that as the reason", async () => {
    let handled = 0;
    const { messenger, transport, worker } = await setUp(async () => void handled++);
    await dispatchMany(messenger, 30);
    assert.equal(await run(worker({ batchSize: 8, maxConcurrency: 3, messageLimit: 10 })), "message_limit");
    assert.equal(handled, 10);
    assert.equal(await transport.getQueueDepth(), 20);
  });

  test("stops at timeLimit although it is idle", async () => {
    const { worker } = await setUp(async () => {});
    assert.equal(await run(worker({ timeLimit: 30, pollInterval: 3_600_000 })), "time_limit");
  });

  test("stops at memoryLimit after a message", async () => {
    const { messenger, worker } = await setUp(async () => {});
    await dispatchMany(messenger, 3);
    assert.equal(await run(worker({ memoryLimit: 1 })), "memory_limit");
  });

  test("stops at failureLimit and counts failures", async () => {
    const { messenger, worker } = await setUp(
      () => {
        throw new Error("no");
      },
      { retry: { delayMs: 60_000 } },
    );
    await dispatchMany(messenger, 10);
    const one = worker({ maxConcurrency: 1, batchSize: 1, failureLimit: 3 });
    assert.equal(await run(one), "failure_limit");
    assert.equal((await one.getStats()).totalFailed, 3);
  });

  test("retries by strategy, then dead-letters with the history of its attempts", async () => {
    const attempts: number[] = [];
    const { messenger, transport, worker } = await setUp(
      (_, context) => {
        attempts.push(context.attempt);
        throw new TypeError(`attempt ${context.attempt}`);
      },
      { retry: { maxRetries: 2, delayMs: 1, multiplier: 1, jitter: 0 } },
    );
    await dispatchMany(messenger, 1);
    assert.equal(await run(worker({ messageLimit: 3 })), "message_limit");
    assert.deepEqual(attempts, [1, 2, 3]);
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    assert.equal(deadLetters.length, 1);
    assert.equal(deadLetters[0]?.failure.reason, "retries_exhausted");
    assert.equal(deadLetters[0]?.failure.error.message, "attempt 3");
    assert.equal(deadLetters[0]?.failure.attempts, 3);
  });

  test("dead-letters an UnrecoverableError on the first attempt, retries a RecoverableError beyond maxRetries", async () => {
    let recoverable = 0;
    const { messenger, transport, worker } = await setUp(
      ({ n }) => {
        if (n === 0) throw new UnrecoverableError("never");
        if (++recoverable < 6) throw new RecoverableError({ retryDelayMs: 1 });
      },
      { retry: { maxRetries: 1, delayMs: 1 } },
    );
    await dispatchMany(messenger, 2);
    await run(worker({ messageLimit: 7 }));
    assert.equal(recoverable, 6);
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    assert.deepEqual(
      deadLetters.map((letter) => letter.failure.reason),
      ["unrecoverable"],
    );
  });

  test("snooze brings a message back later without counting an attempt", async () => {
    const attempts: number[] = [];
    const { messenger, worker } = await setUp((_, context) => {
      attempts.push(context.attempt);
      if (attempts.length === 1) context.snooze(1);
    });
    await dispatchMany(messenger, 1);
    await run(worker({ messageLimit: 1 }));
    assert.deepEqual(attempts, [1, 1]);
  });

  test("runs only the handlers again that failed", async () => {
    const calls: string[] = [];
    const { messenger, worker } = await setUp(async () => void calls.push("first"), {
      retry: { delayMs: 1 },
      more: {
        handlers: [
          defineHandler(Task, async () => void calls.push("good"), { name: "good", priority: 1, execution: "inline" }),
          defineHandler(
            Task,
            async () => {
              calls.push("bad");
              if (calls.filter((call) => call === "bad").length < 2) throw new Error("not yet");
            },
            { name: "bad", execution: "inline" },
          ),
        ],
      },
    });
    await dispatchMany(messenger, 1);
    await run(worker({ messageLimit: 2 }));
    assert.deepEqual(calls, ["good", "bad", "bad"]);
  });

  test("times a handler out by its signal and retries", async () => {
    let aborted = 0;
    const Slow = defineMessage("slow", { timeoutMs: 20, retry: { maxRetries: 0 } });
    const { messenger, transport, worker } = await setUp(async () => {}, {
      more: {
        handlers: [
          defineHandler(
            Slow,
            (_, context: HandlerContext) =>
              new Promise((_resolve, reject) => {
                context.signal.addEventListener("abort", () => {
                  aborted += 1;
                  reject(context.signal.reason as Error);
                });
              }),
            { execution: "inline" },
          ),
        ],
      },
    });
    await messenger.dispatch(Slow, {});
    await run(worker({ messageLimit: 1 }));
    assert.equal(aborted, 1);
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    assert.equal(deadLetters[0]?.failure.reason, "timed_out");
  });

  test("dead-letters unknown types and schema mismatches on first sight, with their bytes", async () => {
    const { messenger, transport, worker } = await setUp(async () => {});
    const Stranger = defineMessage("stranger");
    const Loose = defineMessage("task");
    await messenger.dispatch(Stranger, { kept: true });
    const foreign = await createMessenger(
      { transports: { default: { dsn: "memory:" } }, messages: [Loose] },
      { transports: { default: transport } },
    );
    await foreign.dispatch(Loose, { n: "not a number" });
    await run(worker({ messageLimit: 2 }));
    const { deadLetters } = await transport.listDeadLetters({}, { limit: 10 });
    const byReason = Object.fromEntries(deadLetters.map((letter) => [letter.failure.reason, letter]));
    assert.deepEqual(JSON.parse(byReason.no_handler?.body ?? "null").payload, { kept: true });
    assert.deepEqual(JSON.parse(byReason.undecodable?.body ?? "null").payload, { n: "not a number" });
  });

  test("leaves a message of a newer version to newer workers, uncounted", async () => {
    const { messenger, transport, worker } = await setUp(async () => {});
    const Newer = defineMessage("task", { version: 2 });
    const newer = await createMessenger(
      { transports: { default: { dsn: "memory:" } }, messages: [Newer] },
      { transports: { default: transport } },
    );
    await newer.dispatch(Newer, { n: 1 });
    await messenger.dispatch(Task, { n: 2 });
    await run(worker({ messageLimit: 1 }));
    assert.equal((await transport.listDeadLetters({}, { limit: 10 })).total, 0);
    const counts = await transport.getCounts();
    assert.equal(
      counts.reduce((sum, count) => sum + count.ready + count.scheduled, 0),
      1,
    );
  });

  test("stop waits for what is in flight, hands back the rest and receives nothing more", async () => {
    const release = Promise.withResolvers<void>();
    let finished = 0;
    const { messenger, transport, worker } = await setUp(async () => {
      await release.promise;
      finished += 1;
    });
    await dispatchMany(messenger, 20);
    const one = worker({ batchSize: 20, maxConcurrency: 3, prefetch: 5 });
    const reason = run(one);
    await once(one, "message_received");
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = one.stop("signal");
    assert.equal(finished, 0);
    release.resolve();
    await stopped;
    assert.equal(await reason, "signal");
    assert.equal(finished, 3);
    assert.equal(await transport.getQueueDepth(), 17);
  });

  test("while enough wait, it receives for many at a time, and for what came together after 10 ms at the latest", async () => {
    const runtime = createManualRuntime();
    const releases: (() => void)[] = [];
    const { messenger, transport, worker } = await setUp(() => new Promise<void>((resolve) => releases.push(resolve)));
    await dispatchMany(messenger, 100);
    const asked: number[] = [];
    const receive = transport.receive.bind(transport);
    transport.receive = (max, options) => {
      asked.push(max);
      return receive(max, options);
    };
    const one = worker({ runtime, batchSize: 20, maxConcurrency: 10, prefetch: 10 });
    const running = run(one);
    const begun = (count: number) => waitFor(() => releases.length >= count, { what: `${count} handlers` });
    const finish = async (count: number): Promise<void> => {
      const already = releases.length;
      for (const release of releases.splice(0, count)) release();
      await begun(already);
    };
    await begun(10);
    assert.deepEqual(asked, [20], "ten in slots, ten beside them");
    for (let finished = 0; finished < 4; finished++) await finish(1);
    assert.deepEqual(asked, [20], "six of ten still wait");
    await finish(1);
    await waitFor(() => asked.length === 2, { what: "the second receive" });
    assert.deepEqual(asked, [20, 5], "half of them wait: room for the five that were finished");
    await finish(2);
    assert.deepEqual(asked, [20, 5]);
    await runtime.clock.advance(LINGER_MS);
    await waitFor(() => asked.length === 3, { what: "the third receive" });
    assert.deepEqual(asked, [20, 5, 2], "the wait is over");
    await one.stop("signal", { deadlineMs: 0 });
    await running;
  });

  describe("when it was woken with nothing to do and has received all there was", () => {
    async function woken() {
      const runtime = createManualRuntime();
      const releases: (() => void)[] = [];
      const { messenger, transport, worker } = await setUp(() => new Promise<void>((resolve) => releases.push(resolve)));
      let receives = 0;
      const receive = transport.receive.bind(transport);
      transport.receive = (...args) => {
        receives += 1;
        return receive(...args);
      };
      const one = worker({ runtime, batchSize: 10, maxConcurrency: 5, pollInterval: 60_000 });
      const running = run(one);
      // As many as the loop could go on to in vain: no event tells that it does not.
      const received = async (count: number, what: string): Promise<void> => {
        await waitFor(() => receives >= count, { what: `receive ${count}: ${what}` });
        for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
        assert.equal(receives, count, what);
      };
      await received(1, "there is nothing yet");
      await messenger.dispatch(Task, { n: 1 });
      await received(2, "the message that was notified");
      await waitFor(() => releases.length === 1, { what: "its handler" });
      const stop = async (): Promise<void> => {
        const stopping = one.stop("signal");
        for (const release of releases.splice(0)) release();
        await stopping;
        await running;
      };
      return { runtime, messenger, received, releases, stop };
    }

    test("it receives again with the first message that is handled", async () => {
      const { received, releases, stop } = await woken();
      releases[0]?.();
      await received(3, "what was handled rides with it");
      await stop();
    });

    test("it receives again when more is notified", async () => {
      const { messenger, received, releases, stop } = await woken();
      await messenger.dispatch(Task, { n: 2 });
      await waitFor(() => releases.length === 2, { what: "the second handler" });
      await received(4, "at once, and once more since it was not idle");
      await stop();
    });

    test("it receives again after 10 ms, since not everything is notified", async () => {
      const { runtime, received, stop } = await woken();
      await runtime.clock.advance(LINGER_MS - 1);
      await received(2, "not yet");
      await runtime.clock.advance(1);
      await received(3, "the wait is over");
      await stop();
    });

    test("it ends at once when it is told to", async () => {
      const { stop } = await woken();
      await stop();
    });
  });

  for (const [what, tell] of [
    ["stop", (one: Worker) => void one.stop("signal")],
    ["pause", (one: Worker) => one.pause()],
  ] as const) {
    test(`receives nothing more when it is told to ${what} while it writes what has failed`, async () => {
      const { messenger, transport, worker } = await setUp(() => Promise.reject(new Error("fails")), { retry: { delayMs: 0 } });
      await dispatchMany(messenger, 3);
      const written = Promise.withResolvers<void>();
      const calls: string[] = [];
      const [receive, reject] = [transport.receive.bind(transport), transport.reject.bind(transport)];
      transport.receive = (...args) => {
        calls.push("receive");
        return receive(...args);
      };
      transport.reject = async (...args) => {
        calls.push("reject");
        await written.promise;
        const settled = await reject(...args);
        calls.push("rejected");
        return settled;
      };
      const one = worker({ batchSize: 1, maxConcurrency: 1, prefetch: 0 });
      const running = run(one);
      await waitFor(() => calls.includes("reject"), { what: "a failure to be written" });
      const before = calls.filter((call) => call === "receive").length;
      tell(one);
      written.resolve();
      await waitFor(() => calls.includes("rejected"), { what: "it to be written" });
      await new Promise((resolve) => setImmediate(resolve));
      await one.stop("signal");
      await running;
      assert.equal(calls.filter((call) => call === "receive").length, before);
    });
  }

  test("receives again as soon as all that came have their handlers, whether one of them has ended or not", async () => {
    const runtime = createManualRuntime();
    const { messenger, worker } = await setUp(() => new Promise<void>(() => {}));
    await dispatchMany(messenger, 180);
    // More than begin in one turn.
    const one = worker({ runtime, batchSize: 100, maxConcurrency: 100, prefetch: 80 });
    const batches: number[] = [];
    (one as EventEmitter).on("batch_start", ({ size }: { size: number }) => batches.push(size));
    const running = run(one);
    await waitFor(() => batches.length === 2, { what: "the second receive" });
    assert.deepEqual(batches, [100, 80], "the first one filled the slots, the second the places beside them; no time has passed");
    await one.stop("signal", { deadlineMs: 0 });
    await running;
  });

  test("aborts at the shutdown timeout and hands back what ignores the signal, uncounted as a failure", async () => {
    const { messenger, transport, worker } = await setUp(() => new Promise(() => {}));
    await dispatchMany(messenger, 2);
    const one = worker({ maxConcurrency: 2, shutdownTimeout: 50 });
    const running = run(one);
    await once(one, "message_received");
    const startedAt = performance.now();
    await one.stop("signal");
    await running;
    assert.ok(performance.now() - startedAt < 1_050, "within the timeout and a second");
    assert.equal(await transport.getQueueDepth(), 2);
    const attempts: number[] = [];
    const second = await setUpOn(transport, async (_, context) => void attempts.push(context.attempt));
    await run(second);
    assert.deepEqual(attempts, [1, 1]);
  });

  test("a second stop with a shorter deadline cuts the wait", async () => {
    const { messenger, worker } = await setUp(() => new Promise(() => {}));
    await dispatchMany(messenger, 1);
    const one = worker({ shutdownTimeout: 600_000 });
    const running = run(one);
    await once(one, "message_received");
    void one.stop("signal");
    await one.stop("signal", { deadlineMs: 0 });
    await running;
  });

  test("records nothing of handlers that end after the lease was lost", async () => {
    const release = Promise.withResolvers<void>();
    const { messenger, transport, worker } = await setUp(() => release.promise);
    await dispatchMany(messenger, 1);
    const one = worker();
    const running = run(one);
    await once(one, "message_received");
    one.loseLease("another-life");
    release.resolve();
    await one.stop();
    await running;
    assert.equal(transport.getAcknowledged().length, 0);
    assert.equal((await one.getStats()).totalProcessed, 0);
  });

  test("writes a settlement again after the store was away, without running the handler again", async () => {
    let handled = 0;
    const { messenger, transport, worker } = await setUp(async () => void handled++);
    await dispatchMany(messenger, 1);
    const receive = transport.receive.bind(transport);
    let failures = 0;
    transport.receive = async (max: number, options: ReceiveOptions) => {
      if ((options.acknowledge?.length ?? 0) > 0 && failures < 2) {
        failures += 1;
        throw new TransportError("TRANSPORT_UNAVAILABLE", "away");
      }
      return receive(max, options);
    };
    const one = worker({ stopWhenEmpty: true });
    await run(one);
    assert.equal(failures, 2);
    assert.equal(handled, 1);
    assert.equal(transport.getAcknowledged().length, 1);
  });

  test("waits no longer after errors of the store once it is known to answer again", async () => {
    const runtime = createManualRuntime();
    const { messenger, transport, worker } = await setUp(async () => undefined);
    await dispatchMany(messenger, 1);
    const receive = transport.receive.bind(transport);
    let failures = 0;
    transport.receive = async () => {
      failures += 1;
      throw new TransportError("TRANSPORT_UNAVAILABLE", "away");
    };
    const one = worker({ runtime });
    const running = one.start();
    await waitFor(async () => {
      await runtime.clock.advance(10_000);
      return failures >= 6;
    });
    transport.receive = receive;
    // Not a millisecond passes from here on.
    one.tryAgain();
    await waitFor(() => transport.getAcknowledged().length === 1, { what: "the message to be handled" });
    await Promise.all([one.stop(), running]);
  });

  test("asks for nothing because the store is known to answer, when it is only idle", async () => {
    const runtime = createManualRuntime();
    const { transport, worker } = await setUp(async () => undefined);
    const receive = transport.receive.bind(transport);
    let asked = 0;
    transport.receive = (max: number, options: ReceiveOptions) => {
      asked += 1;
      return receive(max, options);
    };
    const one = worker({ runtime, pollInterval: 1_000 });
    const running = one.start();
    await runtime.clock.advance(500);
    assert.equal(asked, 1);
    one.tryAgain();
    await runtime.clock.advance(400);
    assert.equal(asked, 1);
    await Promise.all([one.stop(), running]);
  });

  test("goes on receiving while a dead letter cannot be written, and writes it as soon as it can", async () => {
    let closed = true;
    let refusals = 0;
    const transport = createMemoryTransport();
    const reject = transport.reject.bind(transport);
    transport.reject = async (rejections) => {
      if (!closed || !rejections.some((rejection) => "deadLetter" in rejection)) return reject(rejections);
      refusals += 1;
      throw new TransportError("TRANSPORT_UNAVAILABLE", "no space left");
    };
    const seen: number[] = [];
    const messenger = await createMessenger(
      {
        transports: { default: { dsn: "memory:", retry: { maxRetries: 0 } } },
        handlers: [
          defineHandler(
            Task,
            ({ n }) => {
              seen.push(n);
              if (n === 0) throw new Error("is given up");
            },
            { execution: "inline" },
          ),
        ],
      },
      { transports: { default: transport } },
    );
    const worker = new Worker({ transport, messenger, pollInterval: 20 });
    worker.on("error", () => undefined);
    const ended = run(worker);
    await dispatchMany(messenger, 1);
    await waitFor(() => refusals >= 2, { what: "two refusals" });
    await messenger.dispatch(Task, { n: 1 });
    await waitFor(() => transport.getAcknowledged().length === 1, { what: "the other message" });
    assert.equal((await transport.listDeadLetters({}, { limit: 10 })).total, 0);
    closed = false;
    await waitFor(async () => (await transport.listDeadLetters({}, { limit: 10 })).total === 1, { what: "the dead letter" });
    await worker.stop();
    await ended;
    assert.deepEqual(seen, [0, 1]);
  });

  test("takes from queues with weights in their proportion, and everything from one that is left", async () => {
    const seen: string[] = [];
    const { messenger, worker } = await setUp((_, { queue }) => void seen.push(queue));
    for (const queue of ["high", "low"])
      await messenger.dispatchMany(Array.from({ length: 400 }, (_, n) => ({ type: Task, payload: { n }, options: { queue } })));
    await run(worker({ queues: { high: 3, low: 1 }, batchSize: 1, maxConcurrency: 1, prefetch: 0, stopWhenEmpty: true }));
    const share = seen.slice(0, 400).filter((queue) => queue === "high").length / 400;
    // Six standard deviations: less than one run in a hundred million is off by chance.
    assert.ok(Math.abs(share - 0.75) < 0.13, `${share} of the first messages are of the queue with three quarters of the weight`);
    assert.equal(seen.length, 800);
  });

  test("picks up a message by wake-up long before the next poll", async () => {
    const { messenger, worker } = await setUp(async () => {});
    const one = worker({ pollInterval: 3_600_000 });
    const running = run(one);
    await once(one, "start");
    await new Promise((resolve) => setImmediate(resolve));
    const processed = once(one, "message_processed");
    await messenger.dispatch(Task, { n: 1 });
    await processed;
    await one.stop();
    await running;
  });

  test("lets the executor send what has come where it runs, before the next receive goes out", async () => {
    const seen: string[] = [];
    const { transport, messenger, worker } = await setUp(async () => {});
    await dispatchMany(messenger, 2);
    const receive = transport.receive.bind(transport);
    transport.receive = (max, options) => {
      seen.push("receive");
      return receive(max, options);
    };
    const executor: Executor = createInProcessExecutor({ messenger, transport: "default", size: 8 });
    const execute = executor.execute.bind(executor);
    executor.execute = (...args) => {
      seen.push("execute");
      return execute(...args);
    };
    executor.flush = () => {
      seen.push("flush");
    };
    await run(worker({ executor, stopWhenEmpty: true, batchSize: 4 }));
    assert.deepEqual(seen.slice(0, 5), ["receive", "execute", "execute", "flush", "receive"]);
  });

  test("lets the executor send what goes elsewhere while it goes on with many that end as soon as they begin", async () => {
    const { transport, messenger, worker } = await setUp(async () => {});
    await dispatchMany(messenger, 200);
    let handledBefore = -1;
    let handled = 0;
    const execute = (): Outcome => {
      if (handled++ === 0) process.nextTick(() => (handledBefore = handled));
      return { kind: "handled" };
    };
    await run(
      worker({ executor: { size: 300, execute, close: async () => undefined }, maxConcurrency: 300, stopWhenEmpty: true, batchSize: 250 }),
    );
    assert.deepEqual([handledBefore, handled, await transport.getQueueDepth()], [32, 200, 0]);
  });

  test("tells a receive which queues wake-ups have named, unless one did not say, or it ends when there is nothing", async () => {
    const { transport, worker } = await setUp(async () => {});
    const told: (readonly string[] | undefined)[] = [];
    const receive = transport.receive.bind(transport);
    transport.receive = (max, options) => {
      told.push(options.notified);
      return receive(max, options);
    };
    let wake: (queues: readonly string[]) => void = () => assert.fail("nobody listens");
    transport.onWake = async (listener) => {
      wake = listener;
      wake(["first"]);
      return async () => {};
    };
    const after = async (...wakeUps: (readonly string[])[]) => {
      const before = told.length;
      for (const queues of wakeUps) wake(queues);
      await waitFor(() => told.length > before, { what: "a receive" });
      return told.at(-1);
    };
    const one = worker({ pollInterval: 3_600_000 });
    const running = run(one);
    await waitFor(() => told.length === 1, { what: "the first receive" });
    assert.deepEqual(told, [["first"]]);
    assert.deepEqual(await after(["a"], ["b"], ["a"]), ["a", "b"]);
    assert.equal(await after(["a"], []), undefined);
    assert.deepEqual(await after(["c"]), ["c"]);
    await one.stop();
    await running;
    told.length = 0;
    await run(worker({ stopWhenEmpty: true }));
    assert.deepEqual(told, [undefined]);
  });

  test("pause receives nothing, resume goes on", async () => {
    let handled = 0;
    const { messenger, worker } = await setUp(async () => void handled++);
    const one = worker();
    one.pause();
    const running = run(one);
    await once(one, "start");
    await dispatchMany(messenger, 3);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(handled, 0);
    const processed = once(one, "message_processed");
    one.resume();
    await processed;
    await one.stop();
    await running;
    assert.equal(handled, 3);
  });

  test("emits all eight events with their payloads, and a listener that throws does no harm", async () => {
    const names: string[] = [];
    const { messenger, worker } = await setUp(
      ({ n }) => {
        if (n === 1) throw new Error("second fails");
      },
      { retry: { maxRetries: 0 } },
    );
    await dispatchMany(messenger, 2);
    const one = worker({ messageLimit: 2, healthCheckInterval: 10, shutdownTimeout: 1_000 });
    for (const name of [
      "start",
      "stop",
      "message_received",
      "message_processed",
      "batch_start",
      "batch_complete",
      "error",
      "health_check",
    ] as const) {
      one.on(name, () => {
        names.push(name);
        throw new Error("a bad listener");
      });
    }
    const idle = worker({ healthCheckInterval: 10 });
    const health = once(idle, "health_check");
    await run(one);
    const idling = run(idle);
    assert.equal((await health).running, true);
    await idle.stop();
    await idling;
    // The first one may live long enough for a health check of its own.
    assert.deepEqual([...new Set(names.filter((name) => name !== "health_check"))].sort(), [
      "batch_complete",
      "batch_start",
      "error",
      "message_processed",
      "message_received",
      "start",
      "stop",
    ]);
  });

  test("cannot be started twice, and stop before start is harmless", async () => {
    const { worker } = await setUp(async () => {});
    const one = worker();
    await one.stop();
    await assert.rejects(one.start(), { code: "WORKER_MISUSED" });
  });

  test("refuses options that are out of range or unknown, naming them", async () => {
    const { worker } = await setUp(async () => {});
    assert.throws(() => worker({ batchSize: 0 }), { code: "OPTIONS_INVALID", path: "batchSize" });
    assert.throws(() => worker({ maxConcurency: 3 } as Partial<WorkerOptions>), /did you mean "maxConcurrency"/);
  });

  test("children carry root, parent and depth of the message that dispatched them", async () => {
    const lines: unknown[] = [];
    const Child = defineMessage("child");
    const { messenger, transport, worker } = await setUp(async () => {}, {
      more: {
        handlers: [
          defineHandler(Task, async (_, context) => void (await context.dispatch(Child, {})), { execution: "inline" }),
          defineHandler(Child, async () => {}, { execution: "inline" }),
        ],
      },
    });
    const { messageId } = await messenger.dispatch(Task, { n: 1 });
    const one = worker({ stopWhenEmpty: true });
    one.on("message_received", ({ received }) =>
      lines.push(received.envelope?.message.type, received.envelope?.stamps.find((stamp) => stamp.name === "lineage")?.value),
    );
    await run(one);
    assert.deepEqual(lines, ["task", { root: messageId, depth: 0 }, "child", { root: messageId, parent: messageId, depth: 1 }]);
    assert.equal(transport.getAcknowledged().length, 2);
  });
});

async function setUpOn(transport: MemoryTransport, handle: HandlerFunction<{ n: number }>): Promise<Worker> {
  const messenger = await createMessenger(
    { transports: { default: { dsn: "memory:" } }, handlers: [defineHandler(Task, handle, { execution: "inline" })] },
    { transports: { default: transport } },
  );
  return new Worker({ transport, messenger, stopWhenEmpty: true, pollInterval: 20 });
}

describe("Worker and cancelled messages", () => {
  test("aborts the signal of a running message with a typed reason, and never delivers it again", async () => {
    const started = Promise.withResolvers<HandlerContext>();
    const { messenger, transport, worker } = await setUp(async (_payload, context) => {
      started.resolve(context);
      await new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(context.signal.reason)));
    });
    const { messageId } = await messenger.dispatch(Task, { n: 1 });
    const running = worker();
    const ended = running.start();
    const { signal } = await started.promise;
    assert.equal((await messenger.cancel(messageId, { by: "ada" })).kind, "interrupted");
    await waitFor(() => signal.aborted, { timeoutMs: 5_000 });
    assert.ok(signal.reason instanceof MessageCancelledError);
    assert.equal(signal.reason.code, "MESSAGE_CANCELLED");
    await waitFor(() => running.progress.inFlight === 0, { timeoutMs: 5_000 });
    const stats = await running.getStats();
    assert.deepEqual([stats.totalProcessed, stats.totalFailed, running.progress.leaseLost], [0, 0, 0], "its outcome does not count");
    await running.stop("manual");
    await ended;
    assert.equal(await transport.getQueueDepth(), 0);
    assert.equal((await transport.findMessage(messageId))?.cancelledBy, "ada");
  });

  test("does not start a message that was cancelled while it waited in this worker", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: number[] = [];
    const { messenger, transport, worker } = await setUp(async ({ n }) => {
      seen.push(n);
      await gate.promise;
    });
    const sent = (await dispatchMany(messenger, 3)) as { messageId: string }[];
    const running = worker({ maxConcurrency: 1, prefetch: 5, batchSize: 3 });
    const ended = running.start();
    await waitFor(() => running.progress.inFlight === 3, { timeoutMs: 5_000 });
    await messenger.cancel(sent[1]?.messageId ?? "");
    await waitFor(() => running.progress.inFlight === 2, { timeoutMs: 5_000 });
    gate.resolve();
    await waitFor(async () => (await transport.getCounts())[0]?.completed === 2, { timeoutMs: 5_000 });
    await running.stop("manual");
    await ended;
    assert.deepEqual(seen, [0, 2]);
  });

  test("records nothing of a handler that ends well although its message was cancelled", async () => {
    const gate = Promise.withResolvers<void>();
    const { messenger, transport, worker } = await setUp(() => gate.promise);
    const { messageId } = await messenger.dispatch(Task, { n: 1 });
    const running = worker();
    const ended = running.start();
    await waitFor(() => running.progress.inFlight === 1, { timeoutMs: 5_000 });
    await messenger.cancel(messageId);
    gate.resolve();
    await waitFor(() => running.progress.inFlight === 0, { timeoutMs: 5_000 });
    await running.stop("manual");
    await ended;
    assert.equal((await transport.getCounts())[0]?.completed, 0);
    assert.equal((await transport.findMessage(messageId))?.state, "cancelled");
  });
});
