import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@symphony/core/testing";
import type { ContainerLimits } from "./container-limits.ts";
import { LimitsWatch } from "./limits-watch.ts";

const MB = 1_048_576;
const limits = (memoryMb: number, cpus = 1): ContainerLimits => ({
  ...{ cpus, memoryBytes: memoryMb * MB, cpuSource: "cgroup v2", memorySource: "cgroup v2" },
});

function watched(first: ContainerLimits) {
  const clock = new ManualClock();
  const changes: number[][] = [];
  const state = { now: first, reads: 0 };
  const read = (): ContainerLimits => {
    state.reads++;
    return state.now;
  };
  const onChange = ({ memoryBytes, cpus }: ContainerLimits): void => void changes.push([memoryBytes / MB, cpus]);
  const watch = new LimitsWatch({ clock, onChange, read, everyMs: 1_000 });
  watch.start();
  return { clock, changes, state, watch };
}

test("tells a change once, when it has been seen twice", async () => {
  const { clock, changes, state } = watched(limits(512));
  await clock.advance(5_000);
  state.now = limits(1_024);
  await clock.advance(1_000);
  assert.deepEqual(changes, []);
  await clock.advance(5_000);
  assert.deepEqual(changes, [[1_024, 1]]);
  state.now = limits(1_024, 2);
  await clock.advance(2_000);
  assert.deepEqual(changes.slice(1), [[1_024, 2]]);
});

test("takes a reading that nobody confirms for nothing, and two steps for one change", async () => {
  const { clock, changes, state } = watched(limits(512));
  state.now = limits(32_768, 64);
  await clock.advance(1_000);
  state.now = limits(512);
  await clock.advance(3_000);
  assert.deepEqual(changes, []);
  state.now = limits(256);
  await clock.advance(1_000);
  state.now = limits(256, 0.5);
  await clock.advance(3_000);
  assert.deepEqual(changes, [[256, 0.5]]);
});

test("looks no more when it was stopped", async () => {
  const { clock, state, watch } = watched(limits(512));
  watch.stop();
  const { reads } = state;
  await clock.advance(60_000);
  assert.equal(state.reads, reads);
});
