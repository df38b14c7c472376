import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerLimits } from "@symphony/worker-runner";
import { sizeFleet, wantedOf } from "./fleet/size.ts";
import { resolveSettings } from "./settings.ts";

const MB = 1_048_576;
const container = (memoryMb: number, cpus = 2): ContainerLimits => ({
  ...{ cpus, memoryBytes: memoryMb * MB, cpuSource: "cgroup v2", memorySource: "cgroup v2" },
});
const wanted = (flags: Record<string, string>) => wantedOf(resolveSettings({ flags }));

test("heaps and the memory at which a process is replaced follow the container's limit", () => {
  const how = wanted({ processes: "2", threads: "1", "memory-percent": "80" });
  const [before, after] = [sizeFleet(container(1_024), how), sizeFleet(container(2_048), how)];
  assert.deepEqual([before.recycleMb, after.recycleMb], [409, 819]);
  assert.equal(after.threadHeapMb, (before.threadHeapMb ?? 0) * 2);
  assert.deepEqual([before.threads, after.threads], [1, 1]);
});

test("threads that nobody has numbered follow the CPUs, up to the concurrency", () => {
  const how = wanted({ processes: "1", concurrency: "3" });
  assert.deepEqual(
    [1, 2, 8].map((cpus) => sizeFleet(container(1_024, cpus), how).threads),
    [1, 2, 3],
  );
});

test("MB beat a share of the limit, and without a limit there is no share and no heap", () => {
  const both = wanted({ "memory-limit": "300", "memory-percent": "80" });
  assert.equal(sizeFleet(container(1_024), both).recycleMb, 300);
  const free = sizeFleet({ ...container(1_024), memorySource: "machine" }, wanted({ "memory-percent": "80" }));
  assert.deepEqual([free.recycleMb, free.processHeapMb, free.threadHeapMb], [undefined, undefined, undefined]);
});
