import type { Clock, Logger, Timer } from "@symphony/core";
import type { KubernetesApi } from "./api-client.ts";
import { decideReplicas, NO_MEMORY, type ScalingLimits, type ScalingMemory } from "./decide-replicas.ts";
import { type PodLoad, updateDeletionCosts } from "./deletion-cost.ts";

/** A pool of workers that is scaled. */
export interface ScaledPool extends ScalingLimits {
  readonly deployment: string;
  /** Whose messages count; none: those of all queues. */
  readonly queues: readonly string[];
}

export interface LoadSource {
  /** Messages by queue. Rejects when nobody can say. */
  counts(): Promise<readonly { readonly queue: string; readonly ready: number; readonly active: number }[]>;
  /** In-flight messages by pod. */
  pods(): Promise<readonly PodLoad[]>;
}

export interface AutoscalerOptions {
  readonly api: KubernetesApi;
  readonly pools: readonly ScaledPool[];
  readonly source: LoadSource;
  /** Milliseconds between two looks. */
  readonly everyMs: number;
  /** Keep `pod-deletion-cost` of the workers up to date, so that scaling in takes the idle ones first. */
  readonly deletionCost: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Looks at the backlog again and again, and patches the scale of Deployments; nothing else of them. */
export class Autoscaler {
  readonly #o: AutoscalerOptions;
  readonly #memories = new Map<string, ScalingMemory>();
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: AutoscalerOptions) {
    this.#o = options;
  }

  start(): void {
    if (this.#stopped || this.#running !== undefined || this.#timer !== undefined) return;
    this.#running = this.look().finally(() => {
      this.#running = undefined;
      if (!this.#stopped) this.#timer = this.#o.clock.schedule(this.#o.everyMs, () => this.#again());
    });
  }

  #again(): void {
    this.#timer = undefined;
    this.start();
  }

  /** Resolves when nothing of it runs any more. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** One look at everything. Never rejects: what failed is logged, and tried again the next time. */
  async look(): Promise<void> {
    const counts = await this.#attempt("the backlog cannot be counted", () => this.#o.source.counts());
    // Before anything is scaled in: the costs decide who goes.
    if (this.#o.deletionCost && counts !== undefined) {
      await this.#attempt("deletion costs cannot be written", async () => updateDeletionCosts(this.#o.api, await this.#o.source.pods()));
    }
    for (const pool of this.#o.pools) {
      await this.#attempt(`${pool.deployment} cannot be scaled`, () => this.#scale(pool, counts));
    }
  }

  async #scale(pool: ScaledPool, counts: Awaited<ReturnType<LoadSource["counts"]>> | undefined): Promise<void> {
    const { api, clock, logger } = this.#o;
    const path = `/apis/apps/v1/namespaces/${encodeURIComponent(api.namespace)}/deployments/${encodeURIComponent(pool.deployment)}/scale`;
    const scale = (await api.get(path)) as { spec?: { replicas?: number }; metadata: { resourceVersion: string } };
    const current = scale.spec?.replicas ?? 0;
    const load = counts === undefined ? undefined : sum(counts, pool.queues);
    const memory = this.#memories.get(pool.deployment) ?? NO_MEMORY;
    const decision = decideReplicas({ current, load, now: clock.monotonic() }, pool, memory);
    this.#memories.set(pool.deployment, decision.memory);
    if (decision.replicas === current) return;
    // The version makes it a refusal instead of a lost update when somebody else has scaled meanwhile.
    const { resourceVersion } = scale.metadata;
    await api.patch(path, { metadata: { resourceVersion }, spec: { replicas: decision.replicas } });
    const { reason, replicas } = decision;
    logger.info({ deployment: pool.deployment, from: current, to: replicas, reason, ...load }, "scaled");
  }

  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#o.logger.warn({ error: { name: (error as Error).name, message: (error as Error).message } }, what);
      return undefined;
    }
  }
}

function sum(
  counts: readonly { readonly queue: string; readonly ready: number; readonly active: number }[],
  queues: readonly string[],
): { readonly ready: number; readonly active: number } {
  const ours = counts.filter(({ queue }) => queues.length === 0 || queues.includes(queue));
  return { ready: ours.reduce((n, { ready }) => n + ready, 0), active: ours.reduce((n, { active }) => n + active, 0) };
}
