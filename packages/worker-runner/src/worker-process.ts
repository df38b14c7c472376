import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import {
  createInProcessExecutor,
  DeadLetterCourier,
  type Executor,
  type FleetHooks,
  type Logger,
  type Messenger,
  type Outcome,
  queueNames,
  type Received,
  Scheduler,
  type StopReason,
  toErrorRecord,
  Worker,
  type WorkerInfo,
  type WorkerOptions,
} from "@symphony/core";
import { collectAll, IdleTidy } from "./idle-tidy.ts";
import { createRoutedExecutor, needsThreads } from "./routed-executor.ts";
import { createThreadPoolExecutor, type ThreadPool } from "./thread-pool.ts";

/** As for `Worker`; limits hold per transport, and the first one that is reached stops the process. */
export type WorkerSettings = Pick<
  WorkerOptions,
  | "queues"
  | "batchSize"
  | "maxConcurrency"
  | "prefetch"
  | "pollInterval"
  | "messageLimit"
  | "timeLimit"
  | "memoryLimit"
  | "failureLimit"
  | "shutdownTimeout"
  | "stopWhenEmpty"
>;

export interface WorkerProcessOptions {
  /** Path or URL of the configuration module, for the threads. */
  readonly configPath: string;
  /** Of the same configuration; whoever made it closes it. */
  readonly messenger: Messenger;
  /** Which transports are consumed. Default: all that can be. */
  readonly transports?: readonly string[];
  readonly worker?: WorkerSettings;
  /** Threads per transport, as far as its handlers want any. Default 1. */
  readonly threads?: number;
  /** Megabytes of JavaScript heap per thread. Default: V8's. */
  readonly threadHeapMb?: number;
  readonly logger?: Logger;
  /** What ties the worker of a transport into a fleet. */
  readonly fleet?: (transport: string) => FleetHooks;
}

export interface WorkerProcessState {
  readonly phase: "starting" | "running" | "stopping" | "stopped";
  readonly paused: boolean;
  readonly slots: number;
  readonly inFlight: number;
  readonly processed: number;
  readonly failed: number;
  readonly leaseLost: number;
  readonly lastError: string | null;
  /** Milliseconds since the transport that was silent longest answered a receive; null before each has. */
  readonly pollAgeMs: number | null;
  readonly threads: { readonly wanted: number; readonly ready: number; readonly restarts: number; readonly suspects: number };
}

/** What one transport's worker could take, and when it last looked. */
export interface LineState {
  readonly free: number;
  /** Milliseconds since a receive was answered; null before the first. */
  readonly pollAgeMs: number | null;
}

/** What consumes one transport. */
interface Line {
  readonly worker: Worker;
  readonly executor: Executor;
  readonly pool: ThreadPool | undefined;
  readonly slots: number;
  granted: boolean;
}

const DEFAULT_CONCURRENCY = 5;

/**
 * The workers and executors of one process. Nothing is received before `grantLease`: who keeps the leases, this process
 * or its supervisor, grants them when they are in the database, and takes them back with `loseLease`.
 */
export class WorkerProcess {
  readonly #o: WorkerProcessOptions;
  readonly #logger: Logger;
  readonly #lines = new Map<string, Line>();
  readonly #scheduler: Scheduler;
  readonly #courier: DeadLetterCourier;
  readonly #idleTidy: IdleTidy;
  #phase: WorkerProcessState["phase"] = "starting";
  #paused = false;
  #stopReason: StopReason | undefined;

  constructor(options: WorkerProcessOptions) {
    this.#o = options;
    this.#logger = options.logger ?? options.messenger.logger;
    for (const name of options.transports ?? options.messenger.transportNames) this.#lines.set(name, this.#createLine(name));
    // Of all transports, also those that are not consumed here: any worker may see to a schedule.
    this.#scheduler = new Scheduler({ messenger: options.messenger, logger: this.#logger });
    this.#courier = new DeadLetterCourier({ messenger: options.messenger, logger: this.#logger });
    this.#idleTidy = new IdleTidy({ clock: options.messenger.runtime.clock, work: () => this.state(), tidy: () => this.#tidy() });
  }

  /** As they are to be registered, by transport. */
  get workers(): Readonly<Record<string, WorkerInfo>> {
    return Object.fromEntries([...this.#lines].map(([name, line]) => [name, this.#infoOf(line)]));
  }

  /**
   * Resolves when a thread of each transport has loaded the configuration.
   *
   * @throws {ConfigError} `CONFIG_INVALID` when the first one could not.
   */
  async ready(): Promise<void> {
    await Promise.all([...this.#lines.values()].map(({ pool }) => pool?.ready()));
  }

  /**
   * Consumes until a limit is met or `stop` is called; resolves with the reason when no handler runs any more.
   *
   * @throws {TransportError} when a transport cannot be consumed at all.
   */
  async run(): Promise<StopReason> {
    if (this.#stopReason !== undefined) {
      this.#phase = "stopped";
      return this.#stopReason;
    }
    this.#phase = "running";
    const runs = [...this.#lines.values()].map(({ worker }) => this.#runLine(worker));
    this.#scheduler.start();
    this.#courier.start();
    this.#idleTidy.start();
    const ends = await Promise.allSettled(runs);
    this.#idleTidy.stop();
    await Promise.all([this.#scheduler.stop(), this.#courier.stop()]);
    this.#phase = "stopped";
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    return this.#stopReason ?? "manual";
  }

  /** Idempotent; called again, it shortens the deadline. Resolves when no handler runs any more. */
  async stop(reason: StopReason, options: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.#stopReason ??= reason;
    if (this.#phase !== "stopped") this.#phase = "stopping";
    await Promise.all([
      this.#scheduler.stop(),
      this.#courier.stop(),
      ...[...this.#lines.values()].map(({ worker }) => worker.stop(this.#stopReason, options)),
    ]);
  }

  pause(): void {
    this.#paused = true;
    this.#applyPauses();
  }

  resume(): void {
    this.#paused = false;
    this.#applyPauses();
  }

  /** The lease was renewed, so the store answers. */
  tryAgain(transport?: string): void {
    for (const { worker } of this.#linesOf(transport)) worker.tryAgain();
  }

  /** The lease is in the database: from now on this transport, or each, is received from. */
  grantLease(transport?: string): void {
    for (const line of this.#linesOf(transport)) line.granted = true;
    this.#applyPauses();
  }

  /**
   * Everything in flight belongs to others: aborts it and forgets its outcomes. New ids are in `workers`; nothing is
   * received before they are granted.
   */
  loseLease(transport?: string): void {
    for (const line of this.#linesOf(transport)) line.granted = false;
    this.#applyPauses();
    for (const { worker } of this.#linesOf(transport)) worker.loseLease(randomUUID());
  }

  state(): WorkerProcessState {
    const lines = [...this.#lines.values()];
    const progress = lines.map(({ worker }) => worker.progress);
    const sum = (key: "inFlight" | "processed" | "failed" | "leaseLost"): number => progress.reduce((total, one) => total + one[key], 0);
    const ages = progress.map(({ pollAgeMs }) => pollAgeMs);
    const threads = lines.map(({ pool }) => pool?.getThreads());
    const count = (key: keyof WorkerProcessState["threads"]): number => threads.reduce((total, one) => total + (one?.[key] ?? 0), 0);
    return {
      phase: this.#phase,
      paused: this.#paused,
      slots: lines.reduce((total, { slots }) => total + slots, 0),
      inFlight: sum("inFlight"),
      processed: sum("processed"),
      failed: sum("failed"),
      leaseLost: sum("leaseLost"),
      lastError: progress.findLast(({ lastError }) => lastError !== null)?.lastError ?? null,
      pollAgeMs: ages.includes(null) ? null : Math.max(0, ...ages.map((age) => age ?? 0)),
      threads: { wanted: count("wanted"), ready: count("ready"), restarts: count("restarts"), suspects: count("suspects") },
    };
  }

  /** By transport. */
  lines(): Readonly<Record<string, LineState>> {
    return Object.fromEntries(
      [...this.#lines].map(([name, { worker, slots }]) => [
        name,
        { free: Math.max(0, slots - worker.inFlight), pollAgeMs: worker.progress.pollAgeMs },
      ]),
    );
  }

  /** One delivery, past the worker and its slots: for the isolation lane. */
  execute(transport: string, received: Received, signal: AbortSignal): Outcome | Promise<Outcome> {
    const line = this.#lines.get(transport);
    if (line === undefined) throw new RangeError(`"${transport}" is not consumed here`);
    return line.executor.execute(received, signal);
  }

  inFlightOf(transport: string): number {
    return this.#lines.get(transport)?.worker.inFlight ?? 0;
  }

  /** Ends the executors. After `run`. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#lines.values()].map(({ executor }) => executor.close()));
  }

  #createLine(name: string): Line {
    const { messenger, worker: settings = {}, fleet } = this.#o;
    const slots = settings.maxConcurrency ?? DEFAULT_CONCURRENCY;
    const inline = createInProcessExecutor({
      messenger,
      transport: name,
      size: slots,
      logger: this.#logger,
      onResetFailed: (error) => this.#endUnreset(error),
    });
    const pool = needsThreads(messenger, name) ? this.#createPool(name, slots) : undefined;
    const executor = pool === undefined ? inline : createRoutedExecutor({ messenger, transport: name, inline, threads: pool, size: slots });
    const worker = new Worker({
      ...settings,
      maxConcurrency: slots,
      transport: messenger.transport(name),
      transportName: name,
      executor,
      messenger,
      logger: this.#logger,
      runtime: messenger.runtime,
      ...(fleet === undefined ? {} : { fleet: fleet(name) }),
    });
    worker.pause();
    return { worker, executor, pool, slots, granted: false };
  }

  #createPool(transport: string, concurrency: number): ThreadPool {
    const { configPath, messenger, threads = 1, threadHeapMb } = this.#o;
    return createThreadPoolExecutor({
      configPath,
      messenger,
      transport,
      threads,
      concurrency,
      logger: this.#logger,
      ...(threadHeapMb === undefined ? {} : { maxOldSpaceMb: threadHeapMb }),
      onLateError: ({ messageId, error }) =>
        this.#logger.error({ message_id: messageId, err: error }, "a message's code failed after the message had ended"),
      onStuckThread: () => void this.stop("error"),
    });
  }

  /** What is in memory here may be another message's: a fresh process starts without it. */
  #endUnreset(error: unknown): void {
    this.#logger.error({ err: toErrorRecord(error) }, "a service could not be reset, this process handles nothing more");
    void this.stop("error");
  }

  /** One that ends by itself, for whatever reason, ends the others: a process that does half its work helps nobody. */
  async #runLine(worker: Worker): Promise<void> {
    worker.once("stop", ({ reason }) => {
      // Each stops when it is empty; the others may not be.
      if (reason !== "manual" || this.#o.worker?.stopWhenEmpty !== true) void this.stop(reason);
    });
    try {
      await worker.start();
    } catch (error) {
      this.#logger.error({ err: toErrorRecord(error) }, "a worker cannot go on");
      throw error;
    }
  }

  #tidy(): void {
    for (const { pool } of this.#lines.values()) pool?.tidy();
    collectAll();
  }

  #applyPauses(): void {
    for (const { worker, granted } of this.#lines.values()) {
      if (granted && !this.#paused) worker.resume();
      else worker.pause();
    }
  }

  #linesOf(transport: string | undefined): readonly Line[] {
    if (transport === undefined) return [...this.#lines.values()];
    const line = this.#lines.get(transport);
    return line === undefined ? [] : [line];
  }

  #infoOf({ worker, slots }: Line): WorkerInfo {
    return { workerId: worker.workerId, hostname: hostname(), pid: process.pid, queues: queueNames(this.#o.worker?.queues ?? []), slots };
  }
}
