import assert from "node:assert/strict";
import { test } from "node:test";
import { Prefetch } from "./prefetch.ts";

/** After a minute in which so many messages were finished in each millisecond, with receives of so many milliseconds. */
function after(perMs: number, receiveMs: number): number {
  const prefetch = new Prefetch("auto", 1_000);
  for (let atMs = 0; atMs <= 60_000; atMs += 100) prefetch.observe({ atMs, receiveMs, finished: atMs * perMs });
  return prefetch.size;
}

test("what is held beyond the slots lasts for one and a half receives, and for no less than 20 ms", () => {
  assert.equal(after(4, 2), 80, "handlers of 50 ms in 200 slots");
  assert.equal(after(4, 40), 240, "a slow database");
  assert.equal(after(100, 8), 1_000, "no more than a batch");
  assert.equal(after(0.02, 2), 0, "a slow handler: another worker could run what would wait here");
});

test("reckons with the rate of handlers while they have something to do, from the first batch on", () => {
  const prefetch = new Prefetch("auto", 1_000);
  prefetch.observe({ atMs: 100, receiveMs: 20, finished: 0, wasIdle: true });
  assert.equal(prefetch.size, 0, "nobody knows yet");
  // A batch of 400 in 10 ms, and then 20 ms of waiting for the next.
  prefetch.observe({ atMs: 130, receiveMs: 20, finished: 400, wasIdle: true });
  assert.equal(prefetch.size, 1_000);
  const slow = new Prefetch("auto", 1_000);
  slow.observe({ atMs: 100, receiveMs: 20, finished: 0, wasIdle: true });
  slow.observe({ atMs: 1_120, receiveMs: 20, finished: 10, wasIdle: true });
  assert.equal(slow.size, 0, "ten in a second");
});

test("a number that was set is what it is", () => {
  assert.equal(new Prefetch(7, 1_000).size, 7);
});
