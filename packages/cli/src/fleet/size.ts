import { type ContainerLimits, planFleet } from "@symphony/worker-runner";
import type { Settings } from "../settings.ts";
import { resolveWorkerOptions } from "../worker-settings.ts";

/** What the size of a fleet is made of, beside the container's limits. */
export interface Wanted {
  readonly processes: number | "auto";
  readonly threads?: number;
  readonly maxConcurrency: number;
  readonly memoryLimitMb?: number;
  /** Of what the container's memory limit leaves to each process; `memoryLimitMb` beats it. */
  readonly memoryPercent?: number;
}

/** How a container's limits are shared out. */
export interface FleetSize {
  readonly processes: number;
  /** Of each process. */
  readonly threads: number;
  /** MB; absent where nothing limits the memory. */
  readonly processHeapMb?: number;
  readonly threadHeapMb?: number;
  /** MB that a process may take before it is replaced; absent: any number. */
  readonly recycleMb?: number;
  /** Threads that V8 may have beside those, in each process. */
  readonly v8Helpers: number;
  /** For people. */
  readonly limits: string;
}

const MB = 1_048_576;

export function wantedOf(settings: Settings): Wanted {
  const { threads, memoryLimit, memoryPercent } = settings;
  const { processes, worker } = resolveWorkerOptions(settings);
  return {
    processes,
    maxConcurrency: worker.maxConcurrency,
    ...(threads.value === undefined ? {} : { threads: threads.value }),
    ...(memoryLimit.value === undefined ? {} : { memoryLimitMb: memoryLimit.value }),
    ...(memoryPercent.value === undefined ? {} : { memoryPercent: memoryPercent.value }),
  };
}

/** Pure: the same limits give the same fleet, at its start and whenever they have changed. */
export function sizeFleet(limits: ContainerLimits, wanted: Wanted): FleetSize {
  const { threads: given, memoryLimitMb, memoryPercent } = wanted;
  const { processes, threads, v8Helpers, ...heaps } = planFleet(limits, {
    processes: wanted.processes,
    ...(given === undefined ? {} : { threads: given }),
  });
  const isLimited = limits.memorySource !== "machine";
  const share =
    isLimited && memoryPercent !== undefined ? Math.floor((limits.memoryBytes * memoryPercent) / 100 / processes / MB) : undefined;
  const recycleMb = memoryLimitMb ?? share;
  return {
    processes,
    threads: Math.min(threads, wanted.maxConcurrency),
    ...(isLimited ? heaps : {}),
    ...(recycleMb === undefined ? {} : { recycleMb }),
    v8Helpers,
    limits: `${limits.cpus} CPUs (${limits.cpuSource}), ${Math.round(limits.memoryBytes / MB)} MB (${limits.memorySource})`,
  };
}
