import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { Note } from "../fixtures/messages.ts";
import { testBed } from "../support/in-test.ts";

test("an idle fleet starts a message within 250 ms of its dispatch, polling only once a minute", async (t) => {
  const bed = await testBed(t);
  await bed.startFleet({ flags: ["--processes", "1", "--threads", "1", "--poll-interval", "60000"] });
  const latencies: number[] = [];
  for (let i = 0; i < 20; i++) {
    const value = await bed.dispatch(Note);
    await waitFor(() => bed.ended().has(value), { timeoutMs: 10_000, intervalMs: 5 });
    const times = Object.fromEntries(
      bed.entries().flatMap((entry) => ("value" in entry && entry.value === value ? [[entry.kind, entry.at]] : [])),
    );
    latencies.push((times.start ?? Number.NaN) - (times.ok ?? Number.NaN));
  }
  latencies.sort((a, b) => a - b);
  t.diagnostic(`from the confirmed dispatch to the handler: p50 ${latencies[10]?.toFixed(1)} ms, worst ${latencies.at(-1)?.toFixed(1)} ms`);
  assert.ok((latencies[10] ?? Number.NaN) < 250, String(latencies));
});
