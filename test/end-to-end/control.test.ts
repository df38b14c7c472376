import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { Note, Slow } from "../fixtures/messages.ts";
import { testBed } from "../support/in-test.ts";
import type { TestBed } from "../support/test-bed.ts";

const ONE = ["--processes", "1", "--threads", "1", "--concurrency", "4"];

/** The id of the message with this value, once its handler has begun. */
async function startedId(bed: TestBed, value: string): Promise<string> {
  await waitFor(() => bed.started().has(value), { timeoutMs: 15_000 });
  const entry = bed.entries().find((each) => each.kind === "start" && each.value === value);
  return entry?.kind === "start" ? entry.id : "";
}

test("a message that runs on another node is cancelled for good: its handler is aborted, or ended with its thread", async (t) => {
  const bed = await testBed(t);
  const fleet = await bed.startFleet({ flags: ONE });
  for (const obedient of [true, false]) {
    const value = await bed.dispatch(Slow, { sleepMs: 60_000, obedient });
    const id = await startedId(bed, value);
    const { code, stdout } = await bed.symphony(["cancel", id]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^cancelled .*: worker \S+ is told to stop handling it$/);
    // Obedient: the handler threw. Not: the pool ended its thread, and said so.
    const threw = (): boolean => bed.entries().some((entry) => entry.kind === "threw" && entry.value === value);
    if (obedient) await waitFor(threw, { timeoutMs: 10_000 });
    else await fleet.process.waitForLine("a pool thread was ended since a handler did not come back", 10_000);
    // The fleet goes on, and the message never comes again.
    const next = await bed.dispatch(Note);
    await waitFor(() => bed.ended().has(next), { timeoutMs: 15_000 });
    assert.equal(bed.started().get(value), 1);
    assert.match((await bed.symphony(["message", id])).stdout, /: cancelled at \S+ by \S+$/);
  }
  assert.deepEqual(await bed.deadLetters(), []);
});

test("a queue that is paused from the command line is left alone by a running fleet until it is resumed", async (t) => {
  const bed = await testBed(t);
  await bed.startFleet({ flags: ONE });
  const warm = await bed.dispatch(Note);
  await waitFor(() => bed.ended().has(warm), { timeoutMs: 15_000 });
  assert.equal((await bed.symphony(["queue", "pause", "slow"])).code, 0);
  const paused = await bed.dispatch(Slow, { sleepMs: 0 });
  // Sent after it, and handled: the fleet has looked at the queues since.
  for (let n = 0; n < 5; n++) {
    const other = await bed.dispatch(Note);
    await waitFor(() => bed.ended().has(other), { timeoutMs: 15_000 });
  }
  assert.equal(bed.started().has(paused), false);
  assert.match((await bed.symphony(["status"])).stdout, /slow .* paused$/m);
  assert.equal((await bed.symphony(["queue", "resume", "slow"])).code, 0);
  await waitFor(() => bed.ended().has(paused), { timeoutMs: 15_000 });
  assert.equal(bed.started().get(paused), 1);
});
