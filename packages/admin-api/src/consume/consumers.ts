import {
  type Logger,
  type Messenger,
  MessengerError,
  type QueueSelection,
  type Runtime,
  type StopReason,
  Worker,
  type WorkerHealth,
  type WorkerStats,
} from "@symphony/core";
import { transportOrDefault } from "../transports.ts";
import { dispatchDue } from "./due-schedules.ts";
import { holdLease } from "./lease.ts";

export interface ConsumeLimits {
  readonly transport?: string | undefined;
  readonly batchSize: number;
  readonly maxConcurrency: number;
  /** Milliseconds. */
  readonly timeLimit: number;
  readonly messageLimit?: number | undefined;
  /** MB */
  readonly memoryLimit?: number | undefined;
  readonly failureLimit?: number | undefined;
  readonly queues?: QueueSelection | undefined;
}

export interface Consumed {
  readonly stats: WorkerStats;
  readonly health: WorkerHealth;
}

/** Milliseconds that handlers get to end after the time limit: a caller that waits 60 s must still get its answer. */
const WIND_DOWN_MS = 4_000;

/** Share of the time limit that schedules may take before messages are worked off. */
const SCHEDULES_SHARE = 0.2;

/** Workers that run within a request, in this process, until the queues are empty or a limit is met. */
export class Consumers {
  readonly #messenger: Messenger;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #running = new Set<Worker>();
  #stopped = false;

  constructor(o: { readonly messenger: Messenger; readonly runtime: Runtime; readonly logger: Logger }) {
    this.#messenger = o.messenger;
    this.#runtime = o.runtime;
    this.#logger = o.logger;
  }

  /** @throws {MessengerError} `HANDLER_NOT_FOUND` there are no handlers here, `MESSENGER_CLOSED` it was stopped. */
  assertReady(): void {
    if (this.#stopped) throw new MessengerError("MESSENGER_CLOSED", "the server is stopping");
    if (this.#messenger.config.handlers.length === 0)
      throw new MessengerError("HANDLER_NOT_FOUND", "no handlers are configured here: consuming would give up on every message");
  }

  /**
   * @throws {MessengerError} as `assertReady`.
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE` at the start; later on the worker waits for the store.
   */
  async run(limits: ConsumeLimits): Promise<Consumed> {
    this.assertReady();
    const [transportName, transport] = transportOrDefault(this.#messenger, limits.transport);
    const { batchSize, maxConcurrency } = limits;
    const { clock } = this.#runtime;
    const startedAt = clock.monotonic();
    const withinMs = limits.timeLimit * SCHEDULES_SHARE;
    await dispatchDue({ messenger: this.#messenger, runtime: this.#runtime, logger: this.#logger, withinMs });
    const timeLimit = Math.max(1, Math.round(limits.timeLimit - (clock.monotonic() - startedAt)));
    const worker = new Worker({
      transport,
      transportName,
      messenger: this.#messenger,
      batchSize,
      maxConcurrency,
      timeLimit,
      shutdownTimeout: WIND_DOWN_MS,
      // What is held when the time is up goes back to the queue: nothing beyond the free slots.
      prefetch: 0,
      stopWhenEmpty: true,
      runtime: this.#runtime,
      logger: this.#logger,
      ...(limits.messageLimit === undefined ? {} : { messageLimit: limits.messageLimit }),
      ...(limits.memoryLimit === undefined ? {} : { memoryLimit: limits.memoryLimit }),
      ...(limits.failureLimit === undefined ? {} : { failureLimit: limits.failureLimit }),
      ...(limits.queues === undefined ? {} : { queues: limits.queues }),
    });
    const release = await holdLease({ worker, transport, slots: maxConcurrency, runtime: this.#runtime, logger: this.#logger });
    this.#running.add(worker);
    try {
      await worker.start();
      return { stats: await worker.getStats(), health: await worker.getHealth() };
    } finally {
      this.#running.delete(worker);
      await release();
    }
  }

  /** Stops all that run; what is in flight gets `deadlineMs`. Their requests are answered with what was done. */
  async stop(deadlineMs: number, reason: StopReason = "signal"): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#running].map((worker) => worker.stop(reason, { deadlineMs })));
  }
}
