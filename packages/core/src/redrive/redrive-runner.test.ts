import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TransportError } from "../errors.ts";
import { silentLogger } from "../logger.ts";
import type { ManualRuntime } from "../testing/index.ts";
import { createManualRuntime, testEnvelope } from "../testing/index.ts";
import { createMemoryTransport, type MemoryTransport } from "../transports/memory.ts";
import { RedriveRunner } from "./redrive-runner.ts";
import { REDRIVE_LEASE_MS, runRedrive } from "./run-redrive.ts";

interface Bed {
  readonly runtime: ManualRuntime;
  readonly transport: MemoryTransport;
  readonly runner: () => RedriveRunner;
}

async function bed(letters: number): Promise<Bed> {
  const runtime = createManualRuntime();
  const transport = createMemoryTransport({ runtime });
  await transport.send(Array.from({ length: letters }, (_, n) => testEnvelope("t", { n })));
  const failure = {
    reason: "unrecoverable" as const,
    error: { name: "Error", message: "no" },
    fingerprint: "1".repeat(16),
    attempts: 1,
    workerId: "w",
  };
  const received = await transport.receive(letters, { workerId: "w" });
  await transport.reject(received.map(({ receipt }) => ({ receipt, deadLetter: failure })));
  await runtime.clock.advance(1_000);
  return { runtime, transport, runner: () => new RedriveRunner({ transports: { memory: transport }, runtime, logger: silentLogger }) };
}

const made = (transport: MemoryTransport, rate?: number) =>
  transport.redrives.create({ action: "retry", filter: {}, requestedBy: "test", ...(rate === undefined ? {} : { rate }) });

describe("the runner of redrives", () => {
  test("carries out what was asked for while it runs, at its rate", async () => {
    const { runtime, transport, runner } = await bed(100);
    const one = runner();
    one.start();
    const { id } = await made(transport, 10);
    await runtime.clock.advance(5_000);
    one.wake();
    await runtime.clock.advance(2_000);
    const { done, state } = (await transport.redrives.get(id)) ?? {};
    assert.equal(state, "running");
    assert.ok(done !== undefined && done >= 18 && done <= 80, `${done}`);
    await runtime.clock.advance(20_000);
    assert.equal((await transport.redrives.get(id))?.state, "done");
    assert.equal(await transport.getQueueDepth(), 100);
    await one.stop();
  });

  test("of several, one has it; when that one stops, another goes on at once", async () => {
    const { runtime, transport, runner } = await bed(100);
    const { id } = await made(transport, 10);
    const [one, two] = [runner(), runner()];
    one.start();
    two.start();
    await runtime.clock.advance(3_000);
    await one.stop();
    two.wake();
    await runtime.clock.advance(3_000);
    const done = (await transport.redrives.get(id))?.done ?? 0;
    assert.ok(done >= 50 && done <= 62, `${done}`);
    await two.stop();
    assert.equal((await transport.redrives.hold({ holder: "third", leaseMs: 1 }))?.id, id, "nobody holds it");
  });

  test("sees a pause within a second, at the slowest rate too", async () => {
    const { runtime, transport, runner } = await bed(5);
    const { id } = await made(transport, 0.1);
    const one = runner();
    one.start();
    await runtime.clock.advance(1_500);
    await transport.redrives.control(id, "pause");
    await runtime.clock.advance(1_000);
    await transport.redrives.control(id, "resume");
    assert.equal((await transport.redrives.hold({ holder: "another", leaseMs: 1 }))?.id, id, "the runner has left it");
    await one.stop();
  });

  test("keeps the lease of a slow redrive", async () => {
    const { runtime, transport, runner } = await bed(5);
    await made(transport, 0.1);
    const one = runner();
    one.start();
    for (let waited = 0; waited < REDRIVE_LEASE_MS * 3; waited += 500) {
      await runtime.clock.advance(500);
      assert.equal(await transport.redrives.hold({ holder: "another", leaseMs: 1 }), undefined);
    }
    await one.stop();
  });

  test("waits while the store is away, and goes on", async () => {
    const { runtime, transport } = await bed(3);
    const redrive = await made(transport);
    await transport.redrives.hold({ holder: "me", leaseMs: 60_000 }, redrive.id);
    let away = 3;
    const redrives = Object.create(transport.redrives) as MemoryTransport["redrives"];
    Object.assign(redrives, {
      advance: async (...given: Parameters<typeof redrives.advance>) => {
        if (away-- > 0) throw new TransportError("TRANSPORT_UNAVAILABLE", "away");
        return transport.redrives.advance(...given);
      },
    });
    const running = runRedrive({ redrives, redrive, holder: "me", clock: runtime.clock, signal: new AbortController().signal });
    await runtime.clock.advance(10_000);
    assert.deepEqual([(await running).state, await transport.getQueueDepth()], ["done", 3]);
  });
});
