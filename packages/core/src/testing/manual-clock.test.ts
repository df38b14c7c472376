import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createManualRuntime, ManualClock, seededRandom } from "./manual-clock.ts";

describe("a manual clock", () => {
  test("runs timers in the order in which they fall due, each at its own time", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 20 }), async (delays) => {
        const clock = new ManualClock();
        const fired: { index: number; at: number }[] = [];
        for (const [index, delayMs] of delays.entries()) clock.schedule(delayMs, () => fired.push({ index, at: clock.monotonic() }));
        await clock.advance(1000);
        const expected = delays.map((at, index) => ({ index, at })).sort((a, b) => a.at - b.at || a.index - b.index);
        assert.deepEqual(fired, expected);
        assert.equal(clock.pending, 0);
        assert.equal(clock.monotonic(), 1000);
      }),
      { numRuns: 30 },
    );
  });

  test("does not run what is not due, or was cancelled", async () => {
    const clock = new ManualClock(5000);
    const fired: string[] = [];
    clock.schedule(100, () => fired.push("due"));
    clock.schedule(101, () => fired.push("later"));
    const timer = clock.schedule(50, () => fired.push("cancelled"));
    timer.cancel();
    timer.cancel();
    await clock.advance(100);
    assert.deepEqual(fired, ["due"]);
    assert.deepEqual([clock.pending, clock.nextInMs, clock.now()], [1, 1, 5100]);
  });

  test("runs timers that are set on the way, also by promises", async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const loop = async (): Promise<void> => {
      for (let n = 0; n < 5; n++) {
        await new Promise<void>((resolve) => clock.schedule(10, resolve));
        await Promise.resolve();
        fired.push(clock.monotonic());
      }
    };
    const done = loop();
    await clock.advance(50);
    await done;
    assert.deepEqual(fired, [10, 20, 30, 40, 50]);
  });

  test("steps the wall clock without touching durations and timers", async () => {
    const clock = new ManualClock(1_000_000);
    let fired = false;
    clock.schedule(10, () => {
      fired = true;
    });
    clock.stepWall(-500_000);
    assert.deepEqual([clock.now(), clock.monotonic(), fired], [500_000, 0, false]);
    await clock.advance(10);
    assert.deepEqual([clock.now(), clock.monotonic(), fired], [500_010, 10, true]);
  });

  test("passes on what a timer throws", async () => {
    const clock = new ManualClock();
    clock.schedule(1, () => {
      throw new Error("in a timer");
    });
    await assert.rejects(clock.advance(5), /in a timer/);
  });
});

test("a manual runtime is the same in every run of one seed, and another with another", () => {
  const course = (seed: number): unknown[] => {
    const { random, newId } = createManualRuntime({ seed });
    return [random(), random(), newId(), newId(), random()];
  };
  assert.deepEqual(course(7), course(7));
  assert.notDeepEqual(course(7), course(8));
});

test("seeded randomness is spread over [0, 1)", () => {
  const random = seededRandom(3);
  const buckets = new Array<number>(10).fill(0);
  for (let n = 0; n < 10_000; n++) {
    const value = random();
    assert.ok(value >= 0 && value < 1);
    const bucket = Math.floor(value * 10);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  for (const count of buckets) assert.ok(count > 850 && count < 1150, `${buckets}`);
});
