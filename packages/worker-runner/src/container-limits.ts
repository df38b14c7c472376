import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

/** What this container may use. */
export interface ContainerLimits {
  /** CPUs, a fraction where the quota is one. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Where the numbers come from, for the line that is shown at start. */
  readonly cpuSource: "cgroup v2" | "cgroup v1" | "machine";
  readonly memorySource: "cgroup v2" | "cgroup v1" | "machine";
}

export interface LimitSources {
  /** The file's text, undefined when there is none. */
  readonly read: (path: string) => string | undefined;
  readonly machineCpus: number;
  readonly machineMemoryBytes: number;
}

const ROOT = "/sys/fs/cgroup";

/**
 * A file of our own cgroup. In a container that is the root of what is mounted; elsewhere, as under systemd, it is
 * where the kernel says that this process belongs, and the root is the whole machine.
 */
function own({ read }: Pick<LimitSources, "read">, controller: string, file: string): string | undefined {
  const groups = read("/proc/self/cgroup") ?? "";
  const path =
    (controller === "" ? /^0::(.*)$/m : new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, "m")).exec(groups)?.[1] ?? "/";
  const root = controller === "" ? ROOT : `${ROOT}/${controller}`;
  return (path === "/" ? undefined : read(`${root}${path}/${file}`)) ?? read(`${root}/${file}`);
}

/** How many processes of this container the kernel has ended for want of memory; undefined where it does not say. */
export function countOomKills(sources: Pick<LimitSources, "read"> = systemSources()): number | undefined {
  const text = own(sources, "", "memory.events") ?? own(sources, "memory", "memory.oom_control");
  const count = /^oom_kill (\d+)$/m.exec(text ?? "")?.[1];
  return count === undefined ? undefined : Number(count);
}

/** Reads the limits that Kubernetes or a container engine set: cgroup v2, then v1, then the machine itself. */
export function readContainerLimits(sources: LimitSources = systemSources()): ContainerLimits {
  const cpu = cpuV2(sources) ?? cpuV1(sources) ?? { value: sources.machineCpus, source: "machine" as const };
  const memory = memoryV2(sources) ?? memoryV1(sources) ?? { value: sources.machineMemoryBytes, source: "machine" as const };
  return {
    cpus: Math.min(cpu.value, sources.machineCpus),
    memoryBytes: Math.min(memory.value, sources.machineMemoryBytes),
    cpuSource: cpu.value < sources.machineCpus ? cpu.source : "machine",
    memorySource: memory.value < sources.machineMemoryBytes ? memory.source : "machine",
  };
}

interface Found {
  readonly value: number;
  readonly source: "cgroup v2" | "cgroup v1";
}

function cpuV2(sources: LimitSources): Found | undefined {
  const [quota, period] = own(sources, "", "cpu.max")?.trim().split(" ") ?? [];
  return ratio(quota, period, "cgroup v2");
}

function cpuV1(sources: LimitSources): Found | undefined {
  return ratio(own(sources, "cpu", "cpu.cfs_quota_us"), own(sources, "cpu", "cpu.cfs_period_us"), "cgroup v1");
}

function ratio(quota: string | undefined, period: string | undefined, source: Found["source"]): Found | undefined {
  const value = positive(quota) / positive(period);
  return Number.isFinite(value) && value > 0 ? { value, source } : undefined;
}

function memoryV2(sources: LimitSources): Found | undefined {
  const value = positive(own(sources, "", "memory.max"));
  return Number.isFinite(value) ? { value, source: "cgroup v2" } : undefined;
}

function memoryV1(sources: LimitSources): Found | undefined {
  const value = positive(own(sources, "memory", "memory.limit_in_bytes"));
  return Number.isFinite(value) ? { value, source: "cgroup v1" } : undefined;
}

/** NaN for "max", -1 and anything else that is no limit. */
function positive(text: string | undefined): number {
  const value = text === undefined ? Number.NaN : Number.parseInt(text, 10);
  return value > 0 ? value : Number.NaN;
}

function systemSources(): LimitSources {
  return {
    read(path) {
      try {
        return readFileSync(path, "utf8");
      } catch {
        // No such controller here: the next source answers.
        return undefined;
      }
    },
    machineCpus: availableParallelism(),
    machineMemoryBytes: totalmem(),
  };
}

const MB = 1_048_576;
/** Share of the container's memory that the heaps may take: the rest is for buffers, stacks, code and the supervisor. */
const HEAP_SHARE = 0.6;
/** Helper threads that Node gives V8 in every process, however few CPUs there are. */
export const NODES_HELPERS = 4;
/** MB. Below this, V8 spends its time collecting. */
const SMALLEST_HEAP_MB = 64;

/** How a container's limits are shared out. */
export interface FleetSize {
  readonly processes: number;
  readonly threads: number;
  /** Old-generation limit in MB, for the process and for each of its threads. */
  readonly processHeapMb: number;
  readonly threadHeapMb: number;
  /** Threads in which V8 compiles and collects beside the program, in each process: see `v8Flags`. */
  readonly v8Helpers: number;
}

/**
 * One process per whole CPU, at least one, when `auto`; threads so that all CPUs are used. A quarter of a process's heap
 * is its own, the rest belongs to its threads, where the handlers are. V8 gets the CPUs beside the one that the process
 * runs on, at least one and no more than Node would give it.
 */
export function planFleet(limits: ContainerLimits, wanted: { processes: number | "auto"; threads?: number }): FleetSize {
  const processes = wanted.processes === "auto" ? Math.max(1, Math.floor(limits.cpus)) : wanted.processes;
  const threads = wanted.threads ?? Math.max(1, Math.round(limits.cpus / processes));
  const heapMb = (limits.memoryBytes * HEAP_SHARE) / MB / processes;
  return {
    processes,
    threads,
    processHeapMb: Math.max(SMALLEST_HEAP_MB, Math.floor(heapMb / 4)),
    threadHeapMb: Math.max(SMALLEST_HEAP_MB, Math.floor((heapMb * 3) / 4 / threads)),
    v8Helpers: Math.min(NODES_HELPERS, Math.max(1, Math.floor(limits.cpus / processes) - 1)),
  };
}
