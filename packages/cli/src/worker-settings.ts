import { availableParallelism } from "node:os";
import type { WorkerSettings } from "@symphony/worker-runner";
import type { Setting, Settings } from "./settings.ts";

/** What a fleet is started with, from the settings. Milliseconds and MB, as its parts take them. */
export interface WorkerPlan {
  readonly processes: number | "auto";
  readonly threads: number;
  /** What every program that handles messages is told of these settings: the part of its configuration that they beat. */
  readonly handling: { readonly resetEvery: number; readonly bus?: string };
  readonly worker: WorkerSettings & { readonly maxConcurrency: number; readonly shutdownTimeout: number; readonly pollInterval: number };
  readonly healthPort: number;
  /** The port was asked for: not getting it is an error. */
  readonly healthPortWanted: boolean;
  /** What whoever reads metrics must show. */
  readonly metricsToken?: string;
}

/**
 * @param o.cpus - CPUs that may be used. Default: what the operating system and the container allow.
 * @throws {UsageError | OptionsError} a value that cannot be had.
 */
export function resolveWorkerOptions(settings: Settings, o: { cpus?: number } = {}): WorkerPlan {
  const maxConcurrency = required(settings.maxConcurrency);
  return {
    processes: settings.processes.value ?? "auto",
    // More threads than messages at a time would never all be used.
    threads: settings.threads.value ?? Math.min(maxConcurrency, Math.max(1, o.cpus ?? availableParallelism())),
    handling: { resetEvery: required(settings.resetEvery), ...optional("bus", settings.bus) },
    worker: {
      maxConcurrency,
      batchSize: required(settings.batchSize),
      pollInterval: required(settings.pollInterval),
      shutdownTimeout: required(settings.shutdownTimeout) * 1_000,
      ...optional("queues", settings.queues),
      ...optional("messageLimit", settings.messageLimit),
      ...optional("timeLimit", settings.timeLimit),
      ...optional("memoryLimit", settings.memoryLimit),
      ...optional("failureLimit", settings.failureLimit),
    },
    healthPort: required(settings.healthPort),
    healthPortWanted: settings.healthPort.source !== "default",
    ...optional("metricsToken", settings.metricsToken),
  };
}

function required<T>(setting: Setting<T>): T {
  if (setting.value === undefined) throw new RangeError("a setting without value and default");
  return setting.value;
}

function optional<const N extends string, T>(name: N, setting: Setting<T>): { readonly [K in N]?: T } {
  return (setting.value === undefined ? {} : { [name]: setting.value }) as { readonly [K in N]?: T };
}
