/** What an autoscaler knows when it decides. */
export interface ScalingInput {
  /** Pods that are wanted now. */
  readonly current: number;
  /** Messages that wait and messages that are being handled; undefined: nobody could say. */
  readonly load: { readonly ready: number; readonly active: number } | undefined;
  /** Milliseconds, monotonic. */
  readonly now: number;
}

export interface ScalingLimits {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** Messages, waiting and in flight, that one pod is there for. */
  readonly targetBacklogPerReplica: number;
  /** Messages that one pod handles at a time. A pool is never made smaller than its busy slots need. */
  readonly slotsPerReplica: number;
}

/** What it remembers from one decision to the next. */
export interface ScalingMemory {
  /** What was wanted lately, oldest first. */
  readonly wanted: readonly { readonly at: number; readonly replicas: number }[];
  readonly lastScaleInAt: number | undefined;
}

export interface ScalingDecision {
  readonly replicas: number;
  readonly memory: ScalingMemory;
  readonly reason: "steady" | "backlog" | "idle" | "bounds" | "unknown";
}

export const NO_MEMORY: ScalingMemory = { wanted: [], lastScaleInAt: undefined };
/** Milliseconds: a backlog that is gone may come back; scaling in follows the most that was wanted in this time. */
export const STABILISATION_MS = 300_000;
/** Milliseconds between two steps down, and the largest share of one. */
const STEP_IN_EVERY_MS = 60_000;
const LARGEST_STEP_IN = 0.25;

/**
 * How many pods a pool should have. Out at once, at most to twice as many and four; in by a quarter a minute, and only
 * when no more was wanted for five minutes. Without numbers nothing changes but what the bounds demand.
 */
export function decideReplicas({ current, load, now }: ScalingInput, limits: ScalingLimits, memory: ScalingMemory): ScalingDecision {
  const bounded = clamp(current, limits);
  if (load === undefined) return { replicas: bounded, memory, reason: bounded === current ? "unknown" : "bounds" };
  const want = clamp(Math.ceil((load.ready + load.active) / limits.targetBacklogPerReplica), limits);
  const wanted = [...memory.wanted.filter(({ at }) => at > now - STABILISATION_MS), { at: now, replicas: want }];
  if (bounded !== current) return { replicas: bounded, memory: { ...memory, wanted }, reason: "bounds" };
  if (want > current) {
    // Twice nothing is nothing: hence the four.
    const replicas = Math.min(want, Math.max(current * 2, current + 4));
    return { replicas, memory: { ...memory, wanted }, reason: "backlog" };
  }
  const replicas = stepIn(current, { load, now, limits, wanted, memory });
  if (replicas === current) return { replicas, memory: { ...memory, wanted }, reason: "steady" };
  return { replicas, memory: { wanted, lastScaleInAt: now }, reason: "idle" };
}

function stepIn(
  current: number,
  o: {
    readonly load: { readonly active: number };
    readonly now: number;
    readonly limits: ScalingLimits;
    readonly wanted: ScalingMemory["wanted"];
    readonly memory: ScalingMemory;
  },
): number {
  const { lastScaleInAt } = o.memory;
  if (lastScaleInAt !== undefined && o.now - lastScaleInAt < STEP_IN_EVERY_MS) return current;
  // Who has just started does not know what was wanted before.
  const [oldest] = o.wanted;
  if (oldest === undefined || o.now - oldest.at < STABILISATION_MS / 2) return current;
  const busy = Math.ceil(o.load.active / o.limits.slotsPerReplica);
  const most = Math.max(busy, ...o.wanted.map(({ replicas }) => replicas));
  const step = Math.max(1, Math.floor(current * LARGEST_STEP_IN));
  return clamp(Math.min(current, Math.max(most, current - step)), o.limits);
}

const clamp = (replicas: number, { minReplicas, maxReplicas }: ScalingLimits): number =>
  Math.min(maxReplicas, Math.max(minReplicas, replicas));
