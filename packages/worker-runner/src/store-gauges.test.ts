import assert from "node:assert/strict";
import { test } from "node:test";
import { METRICS, type QueueCounts, type ScheduleState, type StoreMeasures, silentLogger, type Transport } from "@symphony/core";
import { ManualClock } from "@symphony/core/testing";
import { StoreGauges } from "./store-gauges.ts";

const COUNTS: QueueCounts = {
  ...{ queue: "a", ready: 3, scheduled: 2, active: 1, failed: 4, completed: 9 },
  ...{ oldestReadyAgeMs: 5_000, accuracy: "exact" },
};

function kit(getCounts: () => Promise<readonly QueueCounts[]>) {
  const clock = new ManualClock();
  const transports = { default: { getCounts } as unknown as Transport, other: {} as Transport };
  const gauges = new StoreGauges({ transports, clock, logger: silentLogger });
  const read = async (): Promise<Record<string, unknown>> =>
    Object.fromEntries((await gauges.read()).map(({ name, value }) => [name, value]));
  return { clock, read };
}

test("asks the transports once however often it is read, and again when the counts are old", async () => {
  let asked = 0;
  const { clock, read } = kit(async () => [{ ...COUNTS, ready: ++asked }]);
  for (let i = 0; i < 20; i++) await read();
  assert.equal(asked, 1);
  await clock.advance(10_000);
  assert.equal((await read())[METRICS.queueReady.name], 2);
});

test("the oldest message ages between two questions", async () => {
  const { clock, read } = kit(async () => [COUNTS]);
  await read();
  await clock.advance(3_000);
  assert.equal((await read())[METRICS.queueOldestAge.name], 8);
});

test("a store that is away costs the last counts after a minute, and no error", async () => {
  let away = false;
  const { clock, read } = kit(async () => {
    if (away) throw new Error("no");
    return [COUNTS];
  });
  assert.equal((await read())[METRICS.queueFailed.name], 4);
  away = true;
  await clock.advance(30_000);
  assert.equal((await read())[METRICS.queueFailed.name], 4);
  await clock.advance(31_000);
  assert.deepEqual(await read(), {});
});

test("nobody waits for a store that does not answer", async () => {
  const { clock, read } = kit(() => new Promise(() => undefined));
  const first = read();
  await clock.advance(1_000);
  assert.deepEqual(await first, {});
});

test("queues of the same name in two transports are added up", async () => {
  const clock = new ManualClock();
  const transport = { getCounts: async () => [COUNTS] } as unknown as Transport;
  const gauges = new StoreGauges({ transports: { a: transport, b: transport }, clock, logger: silentLogger });
  const ready = (await gauges.read()).filter(({ name }) => name === METRICS.queueReady.name);
  assert.deepEqual(
    ready.map(({ value }) => value),
    [6],
  );
});

test("tells how late schedules are, and how the store is", async () => {
  const state = { name: "nightly", runAt: 1_000, pausedAt: null, notBefore: null, missedAfterMs: 5_000 } as ScheduleState;
  const measures: StoreMeasures = {
    ...{ connections: 40, maxConnections: 100, oldestTransactionMs: 9_000 },
    ...{ horizonAge: 12, deadRows: 3, retentionMs: 60_000 },
  };
  const transport = {
    schedules: { list: async () => ({ now: 61_000, schedules: [state] }), advance: async () => true },
    measureStore: async () => measures,
  } as unknown as Transport;
  const gauges = new StoreGauges({ transports: { default: transport }, clock: new ManualClock(), logger: silentLogger });
  const read = Object.fromEntries((await gauges.read()).map(({ name, value }) => [name, value]));
  assert.equal(read[METRICS.scheduleOverdue.name], 60);
  assert.deepEqual([read[METRICS.storeConnections.name], read[METRICS.storeMaxConnections.name]], [40, 100]);
  assert.deepEqual([read[METRICS.storeTransactionAge.name], read[METRICS.storeRetention.name]], [9, 60]);
});

test("one source that fails takes no other with it", async () => {
  const transport = {
    getCounts: async () => [COUNTS],
    measureStore: async () => {
      throw new Error("not allowed");
    },
  } as unknown as Transport;
  const gauges = new StoreGauges({ transports: { default: transport }, clock: new ManualClock(), logger: silentLogger });
  assert.equal((await gauges.read()).length, 5);
});
