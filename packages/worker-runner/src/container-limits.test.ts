import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { countOomKills, planFleet, readContainerLimits } from "./container-limits.ts";

const GB = 1_073_741_824;
const machine = { machineCpus: 8, machineMemoryBytes: 32 * GB };
const files = (contents: Record<string, string>) => ({ ...machine, read: (path: string) => contents[path] });

describe("readContainerLimits", () => {
  test("reads quota and memory of cgroup v2", () => {
    const limits = readContainerLimits(files({ "/sys/fs/cgroup/cpu.max": "150000 100000\n", "/sys/fs/cgroup/memory.max": `${GB}\n` }));
    assert.deepEqual(limits, { cpus: 1.5, memoryBytes: GB, cpuSource: "cgroup v2", memorySource: "cgroup v2" });
  });

  test("reads quota and memory of cgroup v1", () => {
    const limits = readContainerLimits(
      files({
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": String(2 * GB),
      }),
    );
    assert.deepEqual(limits, { cpus: 2, memoryBytes: 2 * GB, cpuSource: "cgroup v1", memorySource: "cgroup v1" });
  });

  test("reads those of its own group where the machine's are mounted, and the root's where its own is not to be seen", () => {
    const v1 = "11:cpu,cpuacct:/a.service\n4:memory:/a.service\n0::/\n";
    const limits = readContainerLimits(
      files({
        "/proc/self/cgroup": v1,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": String(16 * GB),
        "/sys/fs/cgroup/memory/a.service/memory.limit_in_bytes": String(GB),
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
      }),
    );
    assert.deepEqual([limits.memoryBytes, limits.cpus], [GB, 2]);
    const v2 = files({
      "/proc/self/cgroup": "0::/system.slice/a.service\n",
      "/sys/fs/cgroup/system.slice/a.service/memory.max": `${2 * GB}`,
    });
    assert.equal(readContainerLimits(v2).memoryBytes, 2 * GB);
    assert.equal(
      countOomKills(files({ "/proc/self/cgroup": v1, "/sys/fs/cgroup/memory/a.service/memory.oom_control": "oom_kill 3\n" })),
      3,
    );
  });

  test("takes the machine where there is no limit, or one beyond the machine", () => {
    const unlimited = { cpus: 8, memoryBytes: 32 * GB, cpuSource: "machine", memorySource: "machine" };
    assert.deepEqual(readContainerLimits(files({})), unlimited);
    assert.deepEqual(readContainerLimits(files({ "/sys/fs/cgroup/cpu.max": "max 100000", "/sys/fs/cgroup/memory.max": "max" })), unlimited);
    assert.deepEqual(readContainerLimits(files({ "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712" })), unlimited);
  });
});

describe("planFleet", () => {
  const limits = { cpus: 3.5, memoryBytes: 4 * GB, cpuSource: "cgroup v2", memorySource: "cgroup v2" } as const;

  test("auto gives one process per whole CPU and heaps that fit the memory together", () => {
    const plan = planFleet(limits, { processes: "auto" });
    assert.equal(plan.processes, 3);
    assert.ok(plan.processes * (plan.processHeapMb + plan.threads * plan.threadHeapMb) <= 0.6 * 4096);
  });

  test("half a CPU still gives one process with one thread", () => {
    const plan = planFleet({ ...limits, cpus: 0.5, memoryBytes: GB / 4 }, { processes: "auto" });
    assert.deepEqual([plan.processes, plan.threads], [1, 1]);
  });

  test("V8 gets as many helpers as a process has CPUs beside its own, one at least and Node's four at most", () => {
    const helpers = (cpus: number, processes: number): number => planFleet({ ...limits, cpus }, { processes }).v8Helpers;
    assert.deepEqual([helpers(0.5, 1), helpers(2, 1), helpers(8, 8), helpers(8, 2), helpers(8, 1)], [1, 1, 1, 3, 4]);
  });

  test("one process gets a thread per CPU", () => {
    assert.equal(planFleet({ ...limits, cpus: 4 }, { processes: 1 }).threads, 4);
  });
});
