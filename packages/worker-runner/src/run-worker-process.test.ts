import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BroadcastChannel } from "node:worker_threads";
import {
  type AnyMessageType,
  createMessenger,
  MemoryTransport,
  type Messenger,
  type MessengerConfig,
  type Received,
  type ReceiveOptions,
  type StopReason,
  stamps,
  systemClock,
  type WorkerInfo,
} from "@symphony/core";
import { createRecordingLogger, createSignals, type RecordingLogger, type Signals, waitFor } from "@symphony/core/testing";
import { assess } from "./liveness.ts";
import { createProbeListener } from "./probes.ts";
import { runWorkerProcess, type WorkerRun } from "./run-worker-process.ts";
import * as m from "./testing/messages.ts";
import { CONFIG_URL, type Said } from "./testing/pool-kit.ts";
import config from "./testing/threads.config.ts";
import type { WorkerProcessOptions } from "./worker-process.ts";

/** The memory transport, and in which order it was asked for what. */
class WatchedTransport extends MemoryTransport {
  readonly asked: string[] = [];

  override async beat(worker: WorkerInfo, inFlight: number): Promise<boolean> {
    this.#note("beat");
    return super.beat(worker, inFlight);
  }

  override async receive(max: number, options: ReceiveOptions): Promise<readonly Received[]> {
    this.#note("receive");
    return super.receive(max, options);
  }

  override async retire(workerId: string): Promise<{ messages: number }> {
    this.#note("retire");
    return super.retire(workerId);
  }

  #note(what: string): void {
    if (this.asked.at(-1) !== what) this.asked.push(what);
  }
}

interface Kit extends AsyncDisposable {
  readonly run: WorkerRun;
  readonly ended: Promise<StopReason>;
  readonly transport: WatchedTransport;
  readonly messenger: Messenger;
  readonly logger: RecordingLogger;
  readonly said: Signals<Record<string, Said>>;
  dispatch(type: AnyMessageType, payload?: unknown): Promise<string>;
  /** Everything that was sent is settled for good. */
  drained(): Promise<unknown>;
  open(): void;
}

async function startKit(options: Partial<WorkerProcessOptions> = {}): Promise<Kit> {
  const logger = createRecordingLogger();
  const transport = new WatchedTransport();
  const messenger = await createMessenger(config as MessengerConfig, { logger, transports: { default: transport } });
  const said = createSignals<Record<string, Said>>();
  const channel = new BroadcastChannel("worker-runner-tests");
  channel.onmessage = (event) => {
    const heard = (event as { data: Said }).data;
    said.emit(heard.what, heard);
  };
  const gate = new BroadcastChannel("worker-runner-gate");
  const { worker, ...others } = options;
  const run = runWorkerProcess({
    configPath: CONFIG_URL,
    messenger,
    logger,
    worker: { maxConcurrency: 4, batchSize: 10, pollInterval: 20, shutdownTimeout: 2_000, ...worker },
    ...others,
  });
  const ended = run.start();
  return {
    run,
    ended,
    transport,
    messenger,
    logger,
    said,
    dispatch: async (type, payload = {}) => (await messenger.dispatch(type, payload)).messageId,
    drained: () =>
      waitFor(async () => (await transport.getCounts()).every(({ ready, scheduled, active }) => ready + scheduled + active === 0), {
        timeoutMs: 20_000,
      }),
    open: () => gate.postMessage("open"),
    async [Symbol.asyncDispose]() {
      await run.stop("manual", { deadlineMs: 0 });
      channel.close();
      gate.close();
      await messenger.close();
    },
  };
}

describe("worker process", () => {
  test("consumes with threads and in the process, and is registered before the first receive", async () => {
    await using kit = await startKit({ threads: 2, worker: { maxConcurrency: 20 } });
    for (let i = 0; i < 100; i++) await kit.dispatch(i % 2 === 0 ? m.Here : m.There);
    await kit.drained();
    // What threads say comes over a channel of its own, at times after the acknowledgement.
    await waitFor(() => kit.said.count("here") + kit.said.count("there") >= 100);
    assert.equal(kit.said.count("here") + kit.said.count("there"), 100);
    assert.deepEqual(kit.transport.asked.slice(0, 2), ["beat", "receive"]);
    const { phase, processed, failed, threads } = kit.run.health();
    assert.deepEqual(
      { phase, processed, failed, restarts: threads.restarts },
      { phase: "running", processed: 100, failed: 0, restarts: 0 },
    );
    await kit.run.stop("signal");
    assert.equal(await kit.ended, "signal");
    assert.equal(kit.transport.asked.at(-1), "retire");
    assert.deepEqual(await kit.transport.listWorkers(), []);
    assert.equal(kit.run.health().phase, "stopped");
  });

  test("a message that kills its thread is dead-lettered after three crashes; its neighbours are handled without a lost attempt", async () => {
    await using kit = await startKit({ worker: { maxConcurrency: 10, batchSize: 10 } });
    const poison = await kit.dispatch(m.Exit, { code: 0, afterMs: 5 });
    for (let i = 0; i < 200; i++) await kit.dispatch(m.Noop);
    await kit.drained();
    const { deadLetters } = await kit.transport.listDeadLetters({}, { limit: 10 });
    assert.deepEqual(
      deadLetters.map(({ id, failure }) => [id, failure.reason, failure.error.code, failure.attempts]),
      [[poison, "crashed", "HANDLER_CRASHED", 3]],
    );
    const acknowledged = kit.transport.getAcknowledged();
    assert.equal(acknowledged.length, 200);
    assert.ok(acknowledged.every((envelope) => (envelope.last(stamps.redelivery)?.tries.failures ?? 0) === 0));
    assert.ok(acknowledged.every((envelope) => (envelope.last(stamps.redelivery)?.tries.crashes ?? 0) === 0));
  });

  test("a message that eats the heap is found among its neighbours and dead-lettered; the process lives", async () => {
    await using kit = await startKit({ threadHeapMb: 32, worker: { maxConcurrency: 5 } });
    const greedy = await kit.dispatch(m.Grow);
    for (let i = 0; i < 20; i++) await kit.dispatch(m.Busy, { ms: 1 });
    await kit.drained();
    const { deadLetters } = await kit.transport.listDeadLetters({}, { limit: 10 });
    assert.deepEqual(
      deadLetters.map(({ id, failure }) => [id, failure.reason, failure.error.code]),
      [[greedy, "crashed", "ERR_WORKER_OUT_OF_MEMORY"]],
    );
    assert.equal(kit.transport.getAcknowledged().length, 20);
  });

  test("hands back, uncounted, what is not done at the deadline, even when the handler does not listen", async () => {
    await using kit = await startKit();
    const stubborn = await kit.dispatch(m.Never);
    const blocking = await kit.dispatch(m.Busy, { ms: 60_000 });
    await kit.said.next("never");
    const startedAt = systemClock.monotonic();
    await kit.run.stop("signal", { deadlineMs: 100 });
    assert.ok(systemClock.monotonic() - startedAt < 1_600, `${systemClock.monotonic() - startedAt} ms`);
    assert.equal(await kit.ended, "signal");
    const back = await kit.transport.receive(10, { workerId: "next" });
    assert.deepEqual(new Set(back.map(({ receipt }) => receipt.id)), new Set([stubborn, blocking]));
    for (const { envelope } of back) assert.equal(envelope?.last(stamps.redelivery)?.tries.failures ?? 0, 0);
  });

  test("stops before it has started, and while its threads load", async () => {
    const messenger = await createMessenger(config as MessengerConfig);
    const never = runWorkerProcess({ configPath: CONFIG_URL, messenger });
    await never.stop("manual");
    assert.equal(await never.start(), "manual");
    await messenger.close();
    await using kit = await startKit();
    await kit.run.stop("signal");
    assert.equal(await kit.ended, "signal");
  });

  test("pauses and resumes", async () => {
    await using kit = await startKit();
    await kit.dispatch(m.There);
    await kit.said.next("there");
    kit.run.pause();
    // One more may be on its way: the receive that was under way when the pause came.
    await waitFor(() => kit.run.health().inFlight === 0);
    await kit.dispatch(m.There);
    await new Promise<void>((resolve) => systemClock.schedule(100, resolve));
    assert.equal(kit.said.count("there"), 1);
    assert.equal(kit.run.health().paused, true);
    kit.run.resume();
    await kit.said.next("there");
  });

  test("stops at its limits, and says which", async () => {
    await using kit = await startKit({ worker: { messageLimit: 3 } });
    for (let i = 0; i < 5; i++) await kit.dispatch(m.Noop);
    assert.equal(await kit.ended, "message_limit");
    assert.equal(await kit.transport.getQueueDepth(), 2);
  });

  test("gives everything up when it was reaped, and goes on under a new id", async () => {
    await using kit = await startKit();
    await kit.dispatch(m.Held);
    await kit.said.next("held");
    const [before] = await kit.transport.listWorkers();
    await kit.transport.reap(0);
    // Its next beat tells it. The handler is aborted, and the message runs again, once.
    await kit.said.next("held");
    const [after] = await kit.transport.listWorkers();
    assert.notEqual(after?.workerId, before?.workerId);
    kit.open();
    await kit.drained();
    assert.equal(kit.said.count("held"), 2);
    assert.equal(kit.run.health().leaseLost, 1);
  });

  test("a configuration that does not load in a thread keeps it from starting", async () => {
    await using kit = await startKit({ configPath: new URL("./testing/broken.config.ts", import.meta.url).href });
    await assert.rejects(kit.ended, { code: "CONFIG_INVALID", message: /broken on purpose/ });
    assert.equal(kit.transport.asked.includes("receive"), false);
    assert.match(kit.run.vitals().lastBootError ?? "", /broken on purpose/);
  });

  test("is ready while it consumes, and not while it starts or after it has stopped", async () => {
    await using kit = await startKit();
    const listener = createProbeListener({
      host: "127.0.0.1",
      port: 0,
      checks: (probe) => assess(probe, kit.run.vitals()),
      logger: kit.logger,
    });
    const { port } = await listener.start();
    const ask = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
    assert.deepEqual(await Promise.all(["/livez", "/readyz", "/startupz"].map(ask)), [200, 503, 503]);
    await waitFor(async () => (await ask("/readyz")) === 200);
    assert.equal(await ask("/startupz"), 200);
    await kit.run.stop("signal");
    assert.deepEqual(await Promise.all(["/livez", "/readyz"].map(ask)), [200, 503]);
    await listener.stop();
  });

  test("counts the connections that it may hold", async () => {
    await using kit = await startKit({ threads: 3 });
    assert.deepEqual(kit.run.connections, { process: null, perThread: 0, threads: 3, total: null });
  });
});
