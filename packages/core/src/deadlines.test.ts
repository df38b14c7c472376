import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines } from "./deadlines.ts";
import { createManualRuntime } from "./testing/manual-clock.ts";

/** Deadlines, the delays of the timers that they have made, when they were due, and how many timers there are. */
function counted() {
  const { clock } = createManualRuntime();
  const [delays, due, later]: [number[], number[], number[]] = [[], [], []];
  const alive = new Set<number>();
  const counting = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    schedule: (delayMs: number, run: () => void) => {
      const number = delays.push(delayMs);
      alive.add(number);
      const timer = clock.schedule(delayMs, () => {
        alive.delete(number);
        run();
      });
      const cancel = (): void => {
        alive.delete(number);
        timer.cancel();
      };
      return { cancel };
    },
  };
  const deadlines = new Deadlines(counting, (now) => {
    due.push(now - start);
    return start + (later.shift() ?? Number.POSITIVE_INFINITY);
  });
  const start = clock.monotonic();
  return { clock, deadlines, delays, due, later, watch: (ms: number) => deadlines.watch(start + ms), alive: () => alive.size };
}

const nextEvent = () => new Promise<void>((resolve) => setImmediate(resolve));

test("one timer serves what begins and ends in one go, and later deadlines; an earlier one gets its own", async () => {
  const { clock, deadlines, delays, due, later, watch } = counted();
  for (const ms of [100, 150, 100]) {
    watch(ms);
    deadlines.release();
  }
  watch(200);
  await nextEvent();
  assert.deepEqual(delays, [100]);
  watch(50);
  assert.deepEqual(delays, [100, 50]);
  later.push(200);
  await clock.advance(150);
  assert.deepEqual(due, [50], "then one for what is left");
  await clock.advance(50);
  assert.deepEqual(
    [delays, due],
    [
      [100, 50, 150],
      [50, 200],
    ],
  );
});

test("no timer is left a moment after the last one has ended", async () => {
  const { deadlines, delays, watch, alive } = counted();
  watch(100);
  deadlines.release();
  await nextEvent();
  assert.deepEqual([delays.length, alive()], [1, 0]);
  watch(100);
  assert.deepEqual([delays.length, alive()], [2, 1], "and there is one again for the next");
});
