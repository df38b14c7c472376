import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createMemoryTransport, type MemoryTransport, type Reapable, silentLogger, TransportError, type WorkerInfo } from "@symphony/core";
import { createManualRuntime, type ManualClock, testEnvelope } from "@symphony/core/testing";
import { LeaseKeeper } from "./lease-keeper.ts";

interface Kit {
  readonly clock: ManualClock;
  readonly store: MemoryTransport;
  readonly keeper: LeaseKeeper;
  /** What happened to the lease, with the seconds since the start. */
  readonly events: string[];
  readonly worker: () => WorkerInfo;
  away: boolean;
  /** Beats do not come back. */
  hanging: boolean;
  /** Beats that succeeded. */
  renewed: number;
}

function createKit(): Kit {
  const runtime = createManualRuntime();
  const { clock } = runtime;
  const store = createMemoryTransport({ runtime });
  const events: string[] = [];
  let id = 1;
  const worker = (): WorkerInfo => ({ workerId: `worker-${id}`, hostname: "here", pid: 1, queues: [], slots: 5 });
  const at = (what: string): number => events.push(`${(clock.monotonic() / 1_000).toFixed(0)} ${what}`);
  const whenThere = <T>(work: () => Promise<T>): Promise<T> => {
    if (kit.away) return Promise.reject(new TransportError("TRANSPORT_UNAVAILABLE", "away"));
    return kit.hanging ? new Promise(() => undefined) : work();
  };
  const transport: Reapable = {
    beat: (info, inFlight) => whenThere(() => store.beat(info, inFlight)),
    reap: (olderThanMs) => whenThere(() => store.reap(olderThanMs)),
    retire: (workerId) => whenThere(() => store.retire(workerId)),
    listWorkers: () => whenThere(() => store.listWorkers()),
  };
  const keeper = new LeaseKeeper({
    name: "default",
    transport,
    clock,
    random: runtime.random,
    logger: silentLogger,
    worker,
    inFlight: () => 0,
    onGranted: () => at("granted"),
    onRenewed: () => {
      kit.renewed += 1;
    },
    onLost: () => {
      id += 1;
      at("lost");
    },
  });
  const kit: Kit = { clock, store, keeper, events, worker, away: false, hanging: false, renewed: 0 };
  return kit;
}

const seconds = (n: number): number => n * 1_000;

describe("lease keeper", () => {
  test("grants with the first beat, keeps the lease for as long as it beats, and leaves nothing behind", async () => {
    const kit = createKit();
    kit.keeper.start();
    await kit.clock.advance(seconds(60));
    assert.deepEqual(kit.events, ["0 granted"]);
    assert.deepEqual(
      (await kit.store.listWorkers()).map(({ workerId }) => workerId),
      ["worker-1"],
    );
    assert.ok((kit.keeper.leaseAgeMs ?? Number.NaN) <= 3_000);
    await kit.keeper.stop();
    assert.deepEqual(await kit.store.listWorkers(), []);
    assert.equal(kit.clock.pending, 0);
  });

  test("waits for a store that is away, and grants when it is back", async () => {
    const kit = createKit();
    kit.away = true;
    kit.keeper.start();
    await kit.clock.advance(seconds(30));
    assert.deepEqual(kit.events, []);
    assert.equal(kit.keeper.leaseAgeMs, null);
    assert.equal(kit.keeper.lastError, "away");
    kit.away = false;
    await kit.clock.advance(seconds(1));
    assert.deepEqual(kit.events, ["31 granted"]);
    await kit.keeper.stop();
  });

  test("tells within a second that a store is back", async () => {
    const kit = createKit();
    kit.keeper.start();
    await kit.clock.advance(seconds(3));
    kit.away = true;
    await kit.clock.advance(seconds(4));
    const { renewed } = kit;
    kit.away = false;
    await kit.clock.advance(seconds(1));
    assert.equal(kit.renewed, renewed + 1);
    await kit.keeper.stop();
  });

  test("a short outage costs nothing", async () => {
    const kit = createKit();
    kit.keeper.start();
    await kit.clock.advance(seconds(3));
    kit.away = true;
    await kit.clock.advance(seconds(5));
    kit.away = false;
    await kit.clock.advance(seconds(30));
    assert.deepEqual(kit.events, ["0 granted"]);
    await kit.keeper.stop();
  });

  for (const outage of ["away", "hanging"] as const) {
    test(`gives up 7 s after the last good beat when beats are ${outage}, before anybody may take over`, async () => {
      const kit = createKit();
      kit.keeper.start();
      await kit.clock.advance(seconds(3));
      kit[outage] = true;
      await kit.clock.advance(seconds(6));
      assert.deepEqual(kit.events, ["0 granted"]);
      await kit.clock.advance(seconds(1));
      assert.deepEqual(kit.events, ["0 granted", "10 lost"]);
      // Nobody reaps before 13 s: its last beat was at 3 s.
      assert.deepEqual((await kit.store.reap(10_000)).workers, []);
      kit[outage] = false;
      await kit.keeper.stop();
    });
  }

  test("after an outage it goes on under a new id and hands back what the old one held", async () => {
    const kit = createKit();
    kit.keeper.start();
    await kit.clock.advance(0);
    await kit.store.send([testEnvelope("noop", {})]);
    assert.equal((await kit.store.receive(1, { workerId: kit.worker().workerId })).length, 1);
    kit.away = true;
    await kit.clock.advance(seconds(8));
    kit.away = false;
    await kit.clock.advance(seconds(1));
    assert.deepEqual(kit.events, ["0 granted", "7 lost", "9 granted"]);
    await kit.clock.advance(seconds(3));
    assert.equal((await kit.store.receive(1, { workerId: kit.worker().workerId })).length, 1);
    await kit.keeper.stop();
  });

  test("notices that it was reaped, and registers anew", async () => {
    const kit = createKit();
    kit.keeper.start();
    await kit.clock.advance(seconds(1));
    // What a process that was frozen for longer than its lease finds: somebody else was quicker.
    assert.deepEqual((await kit.store.reap(500)).workers, ["worker-1"]);
    await kit.clock.advance(seconds(2));
    assert.deepEqual(kit.events, ["0 granted", "3 lost", "3 granted"]);
    assert.deepEqual(
      (await kit.store.listWorkers()).map(({ workerId }) => workerId),
      ["worker-2"],
    );
    await kit.keeper.stop();
  });

  test("takes back the work of a worker that stopped beating, within 15 s of its last beat", async () => {
    const kit = createKit();
    const dead = { ...kit.worker(), workerId: "dead" };
    await kit.store.beat(dead, 1);
    await kit.store.send([testEnvelope("noop", {})]);
    await kit.store.receive(1, { workerId: "dead" });
    kit.keeper.start();
    await kit.clock.advance(seconds(9));
    assert.equal(await kit.store.getQueueDepth(), 0);
    await kit.clock.advance(seconds(6));
    assert.equal(await kit.store.getQueueDepth(), 1);
    await kit.keeper.stop();
  });
});
