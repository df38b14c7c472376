import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { ManualClock } from "@symphony/core/testing";
import { collectAll, IdleTidy } from "./idle-tidy.ts";

const LONG_MS = 60_000;

/** `work` is what the process says of itself; `tidied` how often it tidied up. */
function started() {
  const clock = new ManualClock();
  const state = { work: { processed: 0, inFlight: 0 }, tidied: 0 };
  const tidy = new IdleTidy({
    clock,
    work: () => state.work,
    tidy: () => {
      state.tidied += 1;
    },
  });
  tidy.start();
  return { clock, state, tidy };
}

describe("idle tidy", () => {
  test("tidies up once what the start has left", async () => {
    const { clock, state } = started();
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 1);
  });

  test("waits until nothing is handled any more", async () => {
    const { clock, state } = started();
    state.work = { processed: 0, inFlight: 1 };
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 0);
    state.work = { processed: 1, inFlight: 0 };
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 1);
  });

  test("does not while messages keep coming", async () => {
    const { clock, state } = started();
    for (let processed = 1; processed < 20; processed++) {
      state.work = { processed, inFlight: 0 };
      await clock.advance(5_000);
    }
    assert.equal(state.tidied, 0);
  });

  test("tidies up again after thousands of messages, and not after a few", async () => {
    const { clock, state } = started();
    await clock.advance(LONG_MS);
    state.work = { processed: 999, inFlight: 0 };
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 1);
    state.work = { processed: 1_000, inFlight: 0 };
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 2);
  });

  test("does nothing after the stop", async () => {
    const { clock, state, tidy } = started();
    tidy.stop();
    await clock.advance(LONG_MS);
    assert.equal(state.tidied, 0);
  });
});

/** In threads of one process, all at the same moment: whether each could tidy up. */
async function tidyAtOnce(threads: number): Promise<unknown[]> {
  const barrier = new Int32Array(new SharedArrayBuffer(4));
  const source = `
    const { workerData: { barrier, threads, module } } = require("node:worker_threads");
    import(module).then(({ collectAll }) => {
      for (Atomics.add(barrier, 0, 1); Atomics.load(barrier, 0) < threads; );
      collectAll();
    });`;
  const module = new URL("./idle-tidy.ts", import.meta.url).href;
  const workers = Array.from({ length: threads }, () => new Worker(source, { eval: true, workerData: { barrier, threads, module } }));
  return Promise.all(
    workers.map((worker) =>
      once(worker, "exit").then(
        ([code]) => code,
        (error: Error) => error.message,
      ),
    ),
  );
}

test("threads that tidy up at the same moment take the collector from each other, and none of them fails", async () => {
  for (let round = 0; round < 5; round++) assert.deepEqual(await tidyAtOnce(4), [0, 0, 0, 0]);
  assert.equal(runInNewContext("typeof gc"), "undefined");
});

test("collectAll gives back the heap that garbage has taken", () => {
  let garbage: unknown[] | undefined = Array.from({ length: 500_000 }, (_, number) => ({ number }));
  assert.equal(garbage.length, 500_000);
  const before = process.memoryUsage().heapTotal;
  garbage = undefined;
  collectAll();
  assert.ok(before - process.memoryUsage().heapTotal > 10_000_000);
});

test("collectAll leaves the flags of V8 as they were", () => {
  collectAll();
  assert.equal(runInNewContext("typeof gc"), "undefined");
});

test("collectAll does not stop a thread whose heap is large", () => {
  const { heapUsed } = process.memoryUsage();
  let objects: unknown[] | undefined = Array.from({ length: 6_000_000 }, (_, number) => ({ number, text: "" }));
  assert.equal(objects.length, 6_000_000);
  objects = undefined;
  const before = process.memoryUsage().heapUsed;
  assert.ok(before - heapUsed > 256 * 2 ** 20, `${before - heapUsed} bytes`);
  collectAll();
  assert.ok(process.memoryUsage().heapUsed > before / 2);
});
