import { EventEmitter } from "node:events";
import { ConsumeLoop } from "./consume-loop.ts";
import type { StrategyLookup } from "./decide.ts";
import { MessengerError } from "./errors.ts";
import type { StopReason, WorkerEvents, WorkerHealth, WorkerProgress, WorkerStats } from "./events.ts";
import type { Executor } from "./execute.ts";
import { createInProcessExecutor } from "./in-process-executor.ts";
import { LimitWatch } from "./limits.ts";
import { isCancellable } from "./message-control.ts";
import { createMessenger, type Messenger } from "./messenger.ts";
import { queueNames } from "./queue-order.ts";
import type { ResetError } from "./resets.ts";
import { multiplierRetry } from "./retry/multiplier.ts";
import { MessageMetrics } from "./telemetry/message-metrics.ts";
import { Meter } from "./telemetry/meter.ts";
import { isWakeable } from "./transport.ts";
import { windDown } from "./wind-down.ts";
import { type ParsedWorkerOptions, parseWorkerOptions, type WorkerOptions } from "./worker-options.ts";
import { WorkerReport } from "./worker-report.ts";
import { WorkerCounters } from "./worker-state.ts";

/** For a worker that was given an executor and no messenger. */
const DEFAULT_STRATEGY = multiplierRetry();

/**
 * Consumes one transport, up to `maxConcurrency` messages at a time; the way of a message is in `ConsumeLoop`.
 *
 * At least once: what was received and not settled is delivered again, elsewhere, when this worker is gone. Nothing is
 * received that cannot be started soon; what is held when the worker stops is handed back uncounted.
 *
 * @example
 * const worker = new Worker({ transport, messenger, batchSize: 10, maxConcurrency: 5 });
 * process.once("SIGTERM", () => void worker.stop("signal"));
 * await worker.start();
 */
export class Worker extends EventEmitter<WorkerEvents> {
  readonly #o: ParsedWorkerOptions;
  readonly #report: WorkerReport;
  readonly #counters: WorkerCounters;
  readonly #metrics: MessageMetrics;
  #loop: ConsumeLoop | undefined;
  #workerId: string;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #paused = false;
  #stopReason: StopReason | null = null;
  #deadline = Number.POSITIVE_INFINITY;
  #stopped: Promise<void> | undefined;

  /** @throws {OptionsError} `OPTIONS_INVALID`, naming the field. */
  constructor(options: WorkerOptions) {
    super();
    this.#o = parseWorkerOptions(options);
    this.#workerId = this.#o.workerId;
    this.#counters = new WorkerCounters(this.#o.runtime.clock);
    this.#metrics = new MessageMetrics(this.#o.meter ?? this.#o.messenger?.meter ?? new Meter());
    this.#report = new WorkerReport({ emitter: this, logger: this.#o.logger, counters: this.#counters, metrics: this.#metrics });
  }

  get workerId(): string {
    return this.#workerId;
  }

  /** Messages received and not settled. */
  get inFlight(): number {
    return (this.#loop?.held ?? 0) + (this.#loop?.settler.pending ?? 0);
  }

  /** What it has done so far, without asking the transport: for beats and probes. */
  get progress(): WorkerProgress {
    const { processed, failed, leaseLost, pollAgeMs } = this.#counters;
    return { processed, failed, leaseLost, inFlight: this.inFlight, lastError: this.#report.lastError, pollAgeMs: pollAgeMs ?? null };
  }

  /**
   * Runs until a limit is met or `stop` is called; resolves when nothing of the worker runs any more.
   *
   * @throws {MessengerError} `WORKER_MISUSED` when it was started before.
   * @throws {TransportError} when the transport cannot be consumed at all (`QUEUE_NOT_FOUND`, `SCHEMA_VERSION_MISMATCH`).
   */
  async start(): Promise<void> {
    if (this.#state !== "new") throw new MessengerError("WORKER_MISUSED", `the worker is ${this.#state}: make a new one`);
    this.#state = "running";
    this.#stopped = this.#run();
    await this.#stopped;
  }

  /**
   * Stops receiving, waits for messages in flight, aborts what is left at the deadline and hands it back. Idempotent;
   * safe before `start`. Called again with a smaller `deadlineMs` it shortens the wait.
   *
   * @param options.deadlineMs - Milliseconds from now. Default: `shutdownTimeout`.
   */
  async stop(reason: StopReason = "manual", options: { deadlineMs?: number } = {}): Promise<void> {
    this.#beginStop(reason, options.deadlineMs ?? this.#o.shutdownTimeout);
    // What made `start` reject is told there.
    await this.#stopped?.catch(() => undefined);
  }

  /** Stops receiving; what is in flight goes on. */
  pause(): void {
    this.#paused = true;
    this.#loop?.pause(true);
  }

  resume(): void {
    this.#paused = false;
    this.#loop?.pause(false);
  }

  /** The store was heard of elsewhere: a pause after errors of it ends. At most every few seconds, or it would be none. */
  tryAgain(): void {
    this.#loop?.tryAgain();
  }

  /** Everything in flight belongs to others now: aborts the handlers, forgets their outcomes, goes on under a new id. */
  loseLease(newWorkerId: string): void {
    this.#workerId = newWorkerId;
    this.#loop?.loseLease(newWorkerId);
  }

  async getHealth(): Promise<WorkerHealth> {
    const running = this.#state === "running" || this.#state === "stopping";
    return this.#counters.health({
      running,
      processing: this.#loop?.processing ?? 0,
      queueDepth: await this.#depth(),
      lastError: this.#report.lastError,
    });
  }

  async getStats(): Promise<WorkerStats> {
    return this.#counters.stats(await this.#depth(), this.#stopReason);
  }

  async #run(): Promise<void> {
    this.#counters.start();
    let failure: { error: unknown } | undefined;
    try {
      await this.#consume();
    } catch (error) {
      this.#stopReason = "error";
      this.#report.error(error);
      failure = { error };
    }
    this.#state = "stopped";
    this.#report.emit("stop", { reason: this.#stopReason ?? "manual", stats: this.#counters.stats(0, this.#stopReason) });
    if (failure !== undefined) throw failure.error;
  }

  async #consume(): Promise<void> {
    const { transport, runtime, logger } = this.#o;
    await using cleanUp = new AsyncDisposableStack();
    const { executor, strategyFor } = await this.#prepare(cleanUp);
    const limits = new LimitWatch(this.#o, runtime.clock);
    const onFinished = (reason: StopReason): void => this.#beginStop(reason, this.#o.shutdownTimeout);
    const loop = new ConsumeLoop({
      options: this.#o,
      executor,
      strategyFor,
      limits,
      report: this.#report,
      workerId: this.#workerId,
      onFinished,
    });
    this.#loop = loop;
    loop.pause(this.#paused);
    const onWake = this.#o.fleet.onWake ?? (isWakeable(transport) ? transport.onWake.bind(transport) : undefined);
    if (onWake !== undefined) cleanUp.defer(await onWake((queues) => loop.wake(queues)));
    if (isCancellable(transport)) {
      const onCancel = this.#o.fleet.onCancel ?? transport.onCancel.bind(transport);
      cleanUp.defer(await onCancel(loop.followCancellations(transport)));
    }
    limits.start(() => onFinished("time_limit"));
    cleanUp.defer(() => limits.stop());
    cleanUp.defer(this.#startHealthChecks());
    this.#report.emit("start", { workerId: this.#workerId, queues: queueNames(this.#o.queues ?? []) });
    try {
      if (this.#state === "running") await loop.run();
    } finally {
      this.#beginStop("error", this.#o.shutdownTimeout);
      await windDown({ loop, clock: runtime.clock, logger, report: this.#report, deadline: () => this.#deadline });
    }
  }

  #beginStop(reason: StopReason, deadlineMs: number): void {
    this.#deadline = Math.min(this.#deadline, this.#o.runtime.clock.monotonic() + deadlineMs);
    if (this.#state === "running") {
      this.#state = "stopping";
      this.#stopReason = reason;
    } else if (this.#state === "new") {
      this.#state = "stopped";
    }
    this.#loop?.end();
  }

  /** The executor that was given, or one that runs handlers in this process and is closed at the end. */
  async #prepare(cleanUp: AsyncDisposableStack): Promise<{ executor: Executor; strategyFor: StrategyLookup }> {
    const { executor, transportName, logger, maxConcurrency } = this.#o;
    const messenger = this.#o.messenger ?? (executor === undefined ? await this.#ownMessenger() : undefined);
    const strategyFor: StrategyLookup = (type, queue, olderNames) =>
      messenger?.retryStrategy(type, transportName, queue, olderNames) ?? DEFAULT_STRATEGY;
    if (executor !== undefined || messenger === undefined) {
      if (executor === undefined) throw new MessengerError("WORKER_MISUSED", "the worker has neither executor nor messenger");
      return { executor, strategyFor };
    }
    const own = createInProcessExecutor({
      messenger,
      transport: transportName,
      size: maxConcurrency,
      logger,
      onResetFailed: (error) => this.#onResetFailed(error),
    });
    cleanUp.defer(() => own.close());
    return { executor: own, strategyFor };
  }

  /** What is in memory may be another message's: nothing more is handled on top of it. */
  #onResetFailed(error: ResetError): void {
    this.#report.error(error);
    this.#beginStop("error", this.#o.shutdownTimeout);
  }

  #ownMessenger(): Promise<Messenger> {
    const { transport, transportName, handlers, logger, runtime } = this.#o;
    return createMessenger(
      { transports: { [transportName]: { dsn: "given:" } }, routing: { "*": transportName }, handlers: handlers ?? [] },
      { transports: { [transportName]: transport }, logger, runtime },
    );
  }

  #startHealthChecks(): () => void {
    const { clock } = this.#o.runtime;
    const check = (): void => {
      if (this.listenerCount("health_check") > 0) {
        this.getHealth().then(
          (health) => this.#report.emit("health_check", health),
          (error: unknown) => this.#report.error(error),
        );
      }
      timer = clock.schedule(this.#o.healthCheckInterval, check, { unref: true });
    };
    let timer = clock.schedule(this.#o.healthCheckInterval, check, { unref: true });
    return () => timer.cancel();
  }

  /** Messages waiting, or -1 when the transport cannot say. */
  async #depth(): Promise<number> {
    try {
      return await this.#o.transport.getQueueDepth();
    } catch (error) {
      this.#report.error(error);
      return -1;
    }
  }
}
