import { type Clock, type Logger, type Reapable, type Timer, toErrorRecord, type WorkerInfo } from "@symphony/core";

/** Milliseconds between two beats, without a beat until a worker may be reaped, and without one until it gives up by itself. */
const BEAT_MS = 3_000;
const LEASE_MS = 10_000;
/** Three seconds before others may take over: time to abort the handlers and to end the threads of those that do not listen. */
const GIVE_UP_MS = 7_000;
/** Milliseconds after a beat that failed. */
const BEAT_AGAIN_MS = 1_000;
/** Milliseconds between two looks for dead workers: with the lease, their work is elsewhere within 15 s. */
const REAP_MS = 4_000;
/** Milliseconds that aborted handlers are given before what they worked on is handed to others. */
const HAND_BACK_AFTER_MS = 2_000;

export interface LeaseKeeperOptions {
  /** For the log. */
  readonly name: string;
  readonly transport: Reapable;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** The worker as it is now; another id after `onLost`. */
  readonly worker: () => WorkerInfo;
  readonly inFlight: () => number;
  /** Everything it holds belongs to others, or soon will: abort it, and take a new id. */
  readonly onLost: () => void;
  /** The lease is in the database: it may receive. */
  readonly onGranted: () => void;
  /** With every beat that succeeds: the store answers. */
  readonly onRenewed: () => void;
}

/**
 * Keeps the lease of one worker alive, without which others take over what it holds, and takes over from workers
 * anywhere that stopped beating. Database time decides who is dead; this process only knows how old its own last beat is.
 */
export class LeaseKeeper {
  readonly #o: LeaseKeeperOptions;
  #running = false;
  #beatTimer: Timer | undefined;
  #giveUpTimer: Timer | undefined;
  #reapTimer: Timer | undefined;
  #renewedAt: number | undefined;
  #granted = false;
  #lastError: string | null = null;

  constructor(options: LeaseKeeperOptions) {
    this.#o = options;
  }

  /** Milliseconds since the last beat that succeeded was begun; null before the first. */
  get leaseAgeMs(): number | null {
    return this.#renewedAt === undefined ? null : this.#o.clock.monotonic() - this.#renewedAt;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  /** Beats until `stop`. `onGranted` follows with the first beat that succeeds; a store that is away is waited for. */
  start(): void {
    this.#running = true;
    void this.#beat();
    this.#scheduleReap();
  }

  /** Stops beating and hands back what the worker still holds, at once. Never rejects: the lease runs out by itself. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    for (const timer of [this.#beatTimer, this.#giveUpTimer, this.#reapTimer]) timer?.cancel();
    await this.#retire(this.#o.worker().workerId);
  }

  async #beat(): Promise<void> {
    const { clock, transport } = this.#o;
    const worker = this.#o.worker();
    // The row's time is not older than this moment, and may be as old: the age is counted from here.
    const startedAt = clock.monotonic();
    let alive: boolean | undefined;
    try {
      alive = await transport.beat(worker, this.#o.inFlight());
      this.#lastError = null;
    } catch (error) {
      this.#failed(error);
    }
    // An answer for a worker that has been given up meanwhile says nothing about the present one.
    if (!this.#running || worker.workerId !== this.#o.worker().workerId) return;
    if (alive === true) this.#renewed(startedAt);
    else if (alive === false) return this.#lose("the worker was reaped");
    this.#beatTimer = clock.schedule(
      alive === true ? Math.max(0, BEAT_MS - (clock.monotonic() - startedAt)) : BEAT_AGAIN_MS,
      () => void this.#beat(),
    );
  }

  #renewed(startedAt: number): void {
    const { clock } = this.#o;
    this.#renewedAt = startedAt;
    this.#giveUpTimer?.cancel();
    this.#giveUpTimer = clock.schedule(startedAt + GIVE_UP_MS - clock.monotonic(), () =>
      this.#lose("the lease could not be renewed in time"),
    );
    this.#o.onRenewed();
    if (this.#granted) return;
    this.#granted = true;
    this.#o.onGranted();
  }

  #lose(why: string): void {
    const { workerId } = this.#o.worker();
    this.#o.logger.error(
      { worker_id: workerId, transport: this.#o.name, in_flight: this.#o.inFlight() },
      `${why}: giving up what is in flight`,
    );
    this.#granted = false;
    this.#beatTimer?.cancel();
    this.#giveUpTimer?.cancel();
    this.#o.onLost();
    // A beat that was under way may have renewed the old lease; nobody else would take its messages for a while.
    this.#o.clock.schedule(HAND_BACK_AFTER_MS, () => void (this.#running && this.#retire(workerId)), { unref: true });
    void this.#beat();
  }

  #failed(error: unknown): void {
    const record = toErrorRecord(error);
    if (this.#lastError !== record.message) this.#o.logger.warn({ err: record, transport: this.#o.name }, "the lease could not be renewed");
    this.#lastError = record.message;
  }

  #scheduleReap(): void {
    // Spread, so that many workers do not ask at the same moment.
    this.#reapTimer = this.#o.clock.schedule(REAP_MS * (0.75 + this.#o.random() / 2), () => void this.#reap());
  }

  async #reap(): Promise<void> {
    try {
      const { workers, messages } = await this.#o.transport.reap(LEASE_MS);
      if (workers.length > 0 || messages > 0)
        this.#o.logger.warn({ workers, messages }, "took back the work of workers that stopped beating");
    } catch (error) {
      this.#o.logger.debug({ err: toErrorRecord(error) }, "could not look for dead workers");
    }
    if (this.#running) this.#scheduleReap();
  }

  async #retire(workerId: string): Promise<void> {
    try {
      await this.#o.transport.retire(workerId);
    } catch (error) {
      this.#o.logger.warn(
        { err: toErrorRecord(error), worker_id: workerId },
        "could not hand messages back; they follow when the lease has run out",
      );
    }
  }
}
