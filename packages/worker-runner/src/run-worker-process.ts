import { isReapable, type MetricSeries, type StopReason } from "@symphony/core";
import { type ConnectionBudget, countConnections } from "./connection-budget.ts";
import { processGauges } from "./fleet/fleet-metrics.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import type { Vitals } from "./liveness.ts";
import { WorkerProcess, type WorkerProcessOptions, type WorkerProcessState } from "./worker-process.ts";

/** A worker process without a supervisor: it keeps its own leases. */
export interface WorkerRun {
  /**
   * Registers the worker, consumes, and resolves with the reason when nothing of it runs any more. Waits for a store
   * that is away.
   *
   * @throws {ConfigError} `CONFIG_INVALID` when the first thread cannot load the configuration.
   * @throws {TransportError} when a transport cannot be consumed at all.
   */
  start(): Promise<StopReason>;
  /** Idempotent; called again, it shortens the deadline. `deadlineMs`: for messages in flight. Default: `shutdownTimeout`. */
  stop(reason: StopReason, options?: { readonly deadlineMs?: number }): Promise<void>;
  pause(): void;
  resume(): void;
  health(): WorkerProcessState & { readonly leaseAgeMs: number | null };
  /** For the probe listener. */
  gauges(): readonly MetricSeries[];
  /** For the probe listener. */
  vitals(): Vitals;
  readonly connections: ConnectionBudget;
}

/** Milliseconds for handing back what is left at the end: within the second that a stop may take beyond its deadline. */
const LAST_WORDS_MS = 400;

/** Makes a worker process that keeps its own leases; nothing runs before `start`. */
export function runWorkerProcess(options: WorkerProcessOptions): WorkerRun {
  return new SelfKeptRun(options);
}

class SelfKeptRun implements WorkerRun {
  readonly connections: ConnectionBudget;
  readonly #o: WorkerProcessOptions;
  readonly #process: WorkerProcess;
  readonly #keepers: readonly LeaseKeeper[];
  #everReady = false;
  #bootError: string | null = null;
  #done: Promise<StopReason> | undefined;

  constructor(options: WorkerProcessOptions) {
    this.#o = options;
    this.#process = new WorkerProcess(options);
    this.#keepers = Object.keys(this.#process.workers).flatMap((name) => this.#keeperOf(name) ?? []);
    this.connections = countConnections(options.messenger, Object.keys(this.#process.workers), options.threads ?? 1);
  }

  start(): Promise<StopReason> {
    this.#done ??= this.#run();
    return this.#done;
  }

  async stop(reason: StopReason, options: { readonly deadlineMs?: number } = {}): Promise<void> {
    await this.#process.stop(reason, options);
    // What made `start` reject is told there.
    await this.#done?.catch(() => undefined);
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  health(): WorkerProcessState & { readonly leaseAgeMs: number | null } {
    const ages = this.#keepers.map(({ leaseAgeMs }) => leaseAgeMs);
    return { ...this.#process.state(), leaseAgeMs: ages.includes(null) ? null : Math.max(0, ...ages.map((age) => age ?? 0)) };
  }

  gauges(): readonly MetricSeries[] {
    return processGauges(this.#process.state());
  }

  vitals(): Vitals {
    const { phase, paused, leaseAgeMs } = this.health();
    const running = phase === "running" && this.#everReady;
    return {
      wanted: 1,
      living: 1,
      restarting: 0,
      ready: running ? 1 : 0,
      everReady: this.#everReady,
      stopping: phase === "stopping" || phase === "stopped",
      paused,
      crashLoop: 0,
      lastBootError: this.#bootError,
      leaseAgeMs,
    };
  }

  async #run(): Promise<StopReason> {
    try {
      await this.#process.ready();
      for (const keeper of this.#keepers) keeper.start();
      return await this.#process.run();
    } catch (error) {
      this.#bootError = error instanceof Error ? error.message : String(error);
      throw error;
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<void> {
    const { clock } = this.#o.messenger.runtime;
    const late = Promise.withResolvers<void>();
    const timer = clock.schedule(LAST_WORDS_MS, late.resolve);
    await Promise.race([Promise.all(this.#keepers.map((keeper) => keeper.stop())), late.promise]);
    timer.cancel();
    await this.#process.close();
  }

  #keeperOf(name: string): LeaseKeeper | undefined {
    const { messenger, logger = messenger.logger } = this.#o;
    const transport = messenger.transport(name);
    const granted = (): void => {
      this.#everReady = true;
      this.#process.grantLease(name);
    };
    if (!isReapable(transport)) {
      granted();
      return undefined;
    }
    const worker = () => {
      const info = this.#process.workers[name];
      if (info === undefined) throw new RangeError(`no worker for "${name}"`);
      return info;
    };
    return new LeaseKeeper({
      name,
      transport,
      clock: messenger.runtime.clock,
      random: messenger.runtime.random,
      logger,
      worker,
      inFlight: () => this.#process.inFlightOf(name),
      onLost: () => this.#process.loseLease(name),
      onGranted: granted,
      onRenewed: () => this.#process.tryAgain(name),
    });
  }
}
