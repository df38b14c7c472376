import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualRuntime } from "@symphony/core/testing";
import { Coalescer, type CoalescerOptions } from "./coalescer.ts";

/** Flushes that end when the test says so. */
function harness(options: Partial<CoalescerOptions> = {}) {
  const runtime = createManualRuntime();
  const flushes: { items: readonly number[]; succeed: () => void; fail: (error: Error) => void }[] = [];
  const coalescer = new Coalescer<number, string>(
    (items) =>
      new Promise((resolve, reject) => {
        flushes.push({ items, succeed: () => resolve(items.map((item) => `r${item}`)), fail: reject });
      }),
    () => 10,
    { maxItems: 100, maxSize: 10_000, maxWaitMs: 2, maxFlushes: 2, ...options },
    runtime,
  );
  return { coalescer, flushes, clock: runtime.clock };
}

const sizes = (flushes: readonly { items: readonly number[] }[]): number[] => flushes.map((flush) => flush.items.length);

test("flushes at the end of the turn when nothing is under way, with everything that was added in it", async () => {
  const { coalescer, flushes, clock } = harness();
  const first = coalescer.add([1]);
  const second = coalescer.add([2, 3]);
  assert.deepEqual(sizes(flushes), []);
  await clock.advance(0);
  assert.deepEqual(sizes(flushes), [3]);
  flushes[0]?.succeed();
  assert.deepEqual(await Promise.all([first, second]), [["r1"], ["r2", "r3"]]);
});

test("gathers while a flush is under way, and flushes beside it only when something has waited too long", async () => {
  const { coalescer, flushes, clock } = harness();
  void coalescer.add([1]);
  await clock.advance(0);
  void coalescer.add([2]);
  await clock.advance(1);
  void coalescer.add([3]);
  assert.deepEqual(sizes(flushes), [1]);
  await clock.advance(1);
  assert.deepEqual(sizes(flushes), [1, 2]);
  void coalescer.add([4]);
  await clock.advance(10);
  assert.deepEqual(sizes(flushes), [1, 2], "no more at the same time than allowed");
  flushes[0]?.succeed();
  await clock.advance(0);
  assert.deepEqual(sizes(flushes), [1, 2, 1]);
});

test("splits what is too much for one flush, and puts the results of one caller together again", async () => {
  const { coalescer, flushes, clock } = harness({ maxItems: 2, maxFlushes: 1 });
  const all = coalescer.add([1, 2, 3, 4, 5]);
  for (let i = 0; i < 3; i++) {
    await clock.advance(0);
    flushes[i]?.succeed();
  }
  assert.deepEqual(await all, ["r1", "r2", "r3", "r4", "r5"]);
  assert.deepEqual(sizes(flushes), [2, 2, 1]);
});

test("bounds a flush by size, and lets an item that is larger go alone", async () => {
  const { coalescer, flushes, clock } = harness({ maxSize: 5, maxFlushes: 1 });
  void coalescer.add([1, 2]);
  await clock.advance(0);
  assert.deepEqual(sizes(flushes), [1]);
});

test("rejects those whose flush failed, and no others", async () => {
  const { coalescer, flushes, clock } = harness({ maxFlushes: 1 });
  const unlucky = coalescer.add([1]);
  await clock.advance(0);
  const lucky = coalescer.add([2]);
  const boom = new Error("boom");
  flushes[0]?.fail(boom);
  await assert.rejects(unlucky, (error) => error === boom);
  await clock.advance(0);
  flushes[1]?.succeed();
  assert.deepEqual(await lucky, ["r2"]);
});

test("is drained when everything that was added has an answer", async () => {
  const { coalescer, flushes, clock } = harness();
  await coalescer.drained();
  void coalescer.add([1]);
  let drained = false;
  const waiting = coalescer.drained().then(() => {
    drained = true;
  });
  await clock.advance(0);
  assert.equal(drained, false);
  flushes[0]?.succeed();
  await waiting;
});
