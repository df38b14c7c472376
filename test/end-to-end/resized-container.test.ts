import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { planFleet, readContainerLimits, v8Flags } from "@symphony/worker-runner";
import { Note } from "../fixtures/messages.ts";
import { testBed } from "../support/in-test.ts";
import { makeMemoryCgroup, whyNoMemoryCgroup } from "../support/memory-cgroup.ts";

const MB = 1_048_576;
const FLAGS = ["--processes", "2", "--threads", "1", "--memory-percent", "90"];

const helpersOf = (pid: number): string | undefined => /--v8-pool-size=\d+/.exec(readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.[0];
const heapOf = (pid: number): string | undefined => /--max-old-space-size=(\d+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.[1];

test("a fleet whose container is resized goes on, and its processes get successors of the new size", {
  skip: whyNoMemoryCgroup() ?? false,
}, async (t) => {
  const cgroup = makeMemoryCgroup(`symphony-resize-${process.pid}`, 1_200 * MB);
  const bed = await testBed(t);
  t.after(() => waitFor(() => removed(cgroup), { what: "an empty cgroup", timeoutMs: 10_000 }));
  const fleet = await bed.startFleet({ flags: FLAGS, cgroup: cgroup.procs });
  const before = fleet.workerPids();
  const [started] = fleet.process.lines.filter(({ json }) => json?.msg === "fleet starting");
  assert.deepEqual([started?.json?.recycle_mb, before.map(heapOf)], [540, ["90", "90"]]);
  const [helpers] = v8Flags(planFleet(readContainerLimits(), { processes: 2 }).v8Helpers);
  assert.deepEqual(before.map(helpersOf), [helpers, helpers]);
  cgroup.resize(2_400 * MB);
  const changed = await fleet.process.waitForLine("the limits of this container have changed", 40_000);
  assert.deepEqual([changed.json?.recycle_mb, changed.json?.process_heap_mb, changed.json?.processes], [1_080, 180, 2]);
  const first = await bed.dispatch(Note);
  await waitFor(() => fleet.workerPids().length === 2 && fleet.workerPids().every((pid) => !before.includes(pid)), { timeoutMs: 30_000 });
  assert.deepEqual(fleet.workerPids().map(heapOf), ["180", "180"]);
  const second = await bed.dispatch(Note);
  await waitFor(() => bed.ended().has(first) && bed.ended().has(second), { timeoutMs: 15_000 });
  assert.equal(await fleet.probe("/livez"), 200);
  assert.equal(bed.started().get(first), 1);
});

function removed(cgroup: { remove(): void }): boolean {
  try {
    cgroup.remove();
    return true;
  } catch {
    // What was in it is still ending.
    return false;
  }
}
