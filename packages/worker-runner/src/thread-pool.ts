import { pathToFileURL } from "node:url";
import {
  type Clock,
  ConfigError,
  carryTrace,
  type ErrorRecord,
  type Executor,
  type Logger,
  type Outcome,
  type Received,
  stamps,
  type Timer,
  type WorkerConfig,
} from "@symphony/core";
import type { Piscina } from "piscina";
import { IsolationLane } from "./isolation-lane.ts";
import { describeRelays, sendForThread } from "./relay-host.ts";
import { type ChildExit, restartDelayMs } from "./respawn.ts";
import { createPiscina, logLevelOf, parseThreadPoolOptions, type ThreadPoolOptions } from "./thread-options.ts";
import type { DeathNotice, FromThread, ThreadStart } from "./thread-protocol.ts";
import { interruption, type SeatEvents, ThreadSeat, type Ticketed } from "./thread-seat.ts";

export type { ThreadPoolOptions } from "./thread-options.ts";

export interface ThreadPool extends Executor {
  execute(received: Received, signal: AbortSignal): Promise<Outcome>;
  /**
   * Resolves when the first thread has loaded the configuration. The others load it from then on: they would share the
   * cores with it, and it would be ready as late as they are. What is given to the pool before they are there waits for
   * them, for as long as that takes. One of them that cannot load it is tried again and again, and the log says so.
   *
   * @throws {ConfigError} `CONFIG_INVALID` when it could not.
   */
  ready(): Promise<void>;
  getThreads(): { readonly wanted: number; readonly ready: number; readonly restarts: number; readonly suspects: number };
  /** Lets every thread collect its garbage. */
  tidy(): void;
}

/** Milliseconds between two looks at the attempts: a twentieth of the shortest sensible grace. */
const WATCH_MS = 50;
/** Milliseconds of the grace that are kept for noticing a timeout up to two looks late and for ending the thread. */
const KILL_RESERVE_MS = 250;
/** Milliseconds for a thread to close its connections when the pool closes. */
const CLOSE_MS = 1_000;
/** As many as it takes to get to the longest pause. */
const EXITS_KEPT = 6;
/** Suspects remembered until they come back; far more than can be in flight at a time. */
const MAX_SUSPECTS = 10_000;

/**
 * Runs handlers in a pool of threads: isolated, stoppable, and with a heap limit. What a message does to its thread is
 * told apart from what its neighbours suffer.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export function createThreadPoolExecutor(options: ThreadPoolOptions): ThreadPool {
  return new ThreadPoolExecutor(options);
}

const handlingOf = ({ resetEvery, bus }: WorkerConfig): ThreadStart["handling"] => ({
  ...(resetEvery === undefined ? {} : { resetEvery }),
  ...(bus === undefined ? {} : { bus }),
});

class ThreadPoolExecutor implements ThreadPool {
  readonly size: number;
  readonly #o: ThreadPoolOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #slotsPerThread: number;
  readonly #killAfterMs: number;
  readonly #threadStart: Omit<ThreadStart, "port" | "board">;
  readonly #piscina: Piscina;
  readonly #lanePiscina: Piscina;
  readonly #seats = new Set<ThreadSeat>();
  readonly #lane: IsolationLane;
  readonly #suspects = new Set<string>();
  readonly #signals = new WeakMap<AbortSignal, number>();
  readonly #booted = Promise.withResolvers<void>();
  readonly #threads: number;
  #lastGroup = 0;
  #waiting: Ticketed[] = [];
  #active = 0;
  #restarts = 0;
  #opened = 1;
  #watchTimer: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ThreadPoolOptions) {
    const { configPath, threads, concurrency, maxOldSpaceMb, graceMs } = parseThreadPoolOptions(options);
    this.#o = options;
    this.size = concurrency;
    this.#threads = threads;
    this.#logger = options.logger ?? options.messenger.logger;
    this.#clock = options.messenger.runtime.clock;
    this.#slotsPerThread = Math.ceil(concurrency / threads);
    this.#killAfterMs = Math.max(graceMs / 2, graceMs - KILL_RESERVE_MS);
    this.#threadStart = {
      configUrl: /^[a-z]+:\/\//i.test(configPath) ? configPath : pathToFileURL(configPath).href,
      transport: options.transport,
      relays: describeRelays(options.messenger),
      handling: handlingOf(options.messenger.config.worker),
      logLevel: logLevelOf(options.logLevel ?? (this.#logger as { level?: unknown }).level),
    };
    this.#piscina = createPiscina({ minThreads: 1, maxThreads: threads, maxOldSpaceMb, logger: this.#logger });
    this.#lanePiscina = createPiscina({ minThreads: 0, maxThreads: 1, maxOldSpaceMb, logger: this.#logger });
    this.#lane = new IsolationLane({
      clock: this.#clock,
      open: (events) => {
        const gone: SeatEvents["gone"] = (...args) => {
          this.#report(...args);
          events.gone(...args);
        };
        return this.#open(this.#lanePiscina, 1, { ...this.#events, ...events, gone });
      },
    });
    // Whoever does not ask for `ready` learns of it from the log.
    this.#booted.promise.catch(() => undefined);
    this.#fill([]);
  }

  ready(): Promise<void> {
    return this.#booted.promise;
  }

  getThreads(): { wanted: number; ready: number; restarts: number; suspects: number } {
    const ready = [...this.#seats].filter((seat) => seat.state === "ready").length;
    return { wanted: this.#threads, ready, restarts: this.#restarts, suspects: this.#suspects.size };
  }

  tidy(): void {
    for (const seat of this.#seats) seat.send({ kind: "tidy" });
  }

  execute(received: Received, signal: AbortSignal): Promise<Outcome> {
    if (this.#closing !== undefined) return Promise.resolve({ kind: "interrupted", reason: "shutdown" });
    if (signal.aborted) return Promise.resolve({ kind: "interrupted", reason: interruption(signal) });
    const group = this.#groupOf(signal);
    const trace = this.#o.messenger.tracing === undefined ? "" : carryTrace(received);
    this.#active += 1;
    this.#watchTimer ??= this.#clock.schedule(WATCH_MS, () => this.#watch());
    return new Promise((resolve) => {
      const settle = (outcome: Outcome): void => {
        this.#active -= 1;
        resolve(outcome);
      };
      if (this.#isSuspect(received)) this.#isolate({ received, signal, group, trace, resolve: settle });
      else this.#place({ received, signal, group, trace, resolve: settle });
    });
  }

  flush(): void {
    for (const seat of this.#seats) seat.flush();
  }

  cancel(received: Received): void {
    const waiting = this.#waiting.find((entry) => entry.received === received);
    if (waiting === undefined) {
      if (!this.#lane.cancel(received)) for (const seat of this.#seats) if (seat.cancel(received)) return;
      return;
    }
    this.#waiting = this.#waiting.filter((entry) => entry !== waiting);
    waiting.resolve({ kind: "interrupted", reason: "cancelled" });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watchTimer?.cancel();
    const unstarted = [...this.#waiting.splice(0), ...this.#lane.close()];
    for (const entry of unstarted) entry.resolve({ kind: "interrupted", reason: "shutdown" });
    const seats = [...this.#seats];
    for (const seat of seats) seat.shutDown();
    await this.#emptied(CLOSE_MS);
    await Promise.all([this.#piscina.destroy(), this.#lanePiscina.destroy()]);
  }

  /** Waits until the threads have gone by themselves. */
  async #emptied(withinMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = this.#clock.schedule(withinMs, late.resolve);
    await Promise.race([late.promise, Promise.all([...this.#seats].map((seat) => seat.whenGone))]);
    timer.cancel();
  }

  /** To the thread with the least to do; when all are full, or none is up, it waits here. */
  #place(entry: Ticketed): void {
    let best: ThreadSeat | undefined;
    for (const seat of this.#seats) if (seat.hasRoom && (best === undefined || seat.inFlight < best.inFlight)) best = seat;
    if (best === undefined) this.#waiting.push(entry);
    else best.post(entry);
  }

  #placeWaiting(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const entry of waiting) this.#place(entry);
  }

  #isolate(entry: Ticketed): void {
    const { id } = entry.received.receipt;
    const resolve = (outcome: Outcome): void => {
      if (outcome.kind !== "interrupted") this.#suspects.delete(id);
      entry.resolve(outcome);
    };
    this.#lane.add({ ...entry, resolve });
  }

  /** One number per signal: a worker passes the same one with thousands of messages. */
  #groupOf(signal: AbortSignal): number {
    const known = this.#signals.get(signal);
    if (known !== undefined) return known;
    this.#lastGroup += 1;
    this.#signals.set(signal, this.#lastGroup);
    signal.addEventListener("abort", () => this.#abort(signal), { once: true });
    return this.#lastGroup;
  }

  #abort(signal: AbortSignal): void {
    const aborted = [...this.#waiting.filter((entry) => entry.signal === signal), ...this.#lane.abort(signal)];
    this.#waiting = this.#waiting.filter((entry) => entry.signal !== signal);
    for (const seat of this.#seats) seat.abort(signal);
    for (const entry of aborted) entry.resolve({ kind: "interrupted", reason: interruption(signal) });
  }

  #watch(): void {
    const now = this.#clock.monotonic();
    for (const seat of this.#seats) seat.watch(now);
    this.#lane.watch(now);
    this.#rebalance();
    this.#watchTimer = this.#active > 0 ? this.#clock.schedule(WATCH_MS, () => this.#watch()) : undefined;
  }

  /** A message must not wait behind a busy thread while another one has nothing to do. */
  #rebalance(): void {
    for (const idle of this.#seats) {
      if (!idle.hasRoom || idle.inFlight > 0) continue;
      const busiest = [...this.#seats].reduce((a, b) => (b.inFlight > a.inFlight ? b : a), idle);
      if (busiest === idle) continue;
      for (const entry of busiest.takeBack(Math.max(1, busiest.inFlight >> 1), WATCH_MS / 2)) this.#place(entry);
    }
  }

  #open(piscina: Piscina, slots: number, events: SeatEvents): ThreadSeat {
    return new ThreadSeat({
      piscina,
      start: this.#threadStart,
      slots,
      clock: this.#clock,
      killAfterMs: this.#killAfterMs,
      defaultTimeoutMs: this.#o.messenger.config.defaults.timeoutMs,
      events,
    });
  }

  /** Keeps one place of the pool filled: a thread that dies is replaced at once, one that cannot start after a pause. */
  #fill(exits: readonly ChildExit[]): void {
    const openedAt = this.#clock.monotonic();
    let productive = false;
    const seat = this.#open(this.#piscina, this.#slotsPerThread, {
      ...this.#events,
      ready: () => {
        productive = true;
        this.#placeWaiting();
        this.#booted.resolve();
        for (; this.#opened < this.#threads; this.#opened++) this.#fill([]);
      },
      gone: (gone, error, notice) => {
        this.#seats.delete(gone);
        if (this.#closing !== undefined) return;
        if (error === undefined)
          this.#logger.warn({}, "a pool thread was ended since a handler did not come back, a new one takes its place");
        this.#report(gone, error, notice);
        this.#restarts += 1;
        if (!productive) this.#booted.reject(this.#cannotStart(error));
        const at = this.#clock.monotonic();
        this.#refill([...exits, { at, livedMs: at - openedAt, planned: error === undefined, productive }].slice(-EXITS_KEPT));
      },
    });
    this.#seats.add(seat);
  }

  #refill(exits: readonly ChildExit[]): void {
    const delayMs = restartDelayMs(exits);
    const fill = (): void => {
      if (this.#closing === undefined) this.#fill(exits);
    };
    if (delayMs === 0) fill();
    else this.#clock.schedule(delayMs, fill, { unref: true });
  }

  #cannotStart(error: ErrorRecord | undefined): ConfigError {
    return new ConfigError(`a pool thread cannot start: ${error?.message ?? "it was ended"}`, { configPath: this.#o.configPath });
  }

  readonly #events: SeatEvents = {
    ready: () => undefined,
    gone: () => undefined,
    freed: () => this.#placeWaiting(),
    orphaned: (entries) => {
      for (const entry of entries) this.#place(entry);
    },
    suspect: (entry) => this.#suspect(entry.received.receipt.id),
    message: (seat, message) => this.#hear(seat, message),
    stuck: () => {
      this.#logger.error({}, "a pool thread cannot be ended: this process should be replaced");
      this.#o.onStuckThread?.();
    },
  };

  /** Here, or by its record: with one death to its name a message runs in a group, with a second one alone (`fleet/child.ts`). */
  #isSuspect(received: Received): boolean {
    if (this.#suspects.has(received.receipt.id)) return true;
    return received.outline === undefined && (received.envelope?.last(stamps.suspect)?.crashes ?? 0) > 1;
  }

  #suspect(id: string): void {
    this.#suspects.add(id);
    const [oldest] = this.#suspects;
    if (this.#suspects.size > MAX_SUSPECTS && oldest !== undefined) this.#suspects.delete(oldest);
  }

  #hear(seat: ThreadSeat, { logs, sends, metrics }: FromThread): void {
    if (metrics !== undefined) this.#o.messenger.meter.merge(metrics);
    if (logs !== undefined) {
      for (const [level, fields, message] of logs) this.#logger[level](JSON.parse(fields) as object, message);
      seat.send({ kind: "logged", count: logs.length });
    }
    if (sends !== undefined) void sendForThread(this.#o.messenger, sends, (answers) => seat.send({ kind: "sent", answers }));
  }

  #report(_seat: ThreadSeat, error: ErrorRecord | undefined, notice: DeathNotice | undefined): void {
    const messageId = notice?.messageId;
    if (error === undefined) return;
    this.#logger.error(
      { err: error, ...(messageId === undefined ? {} : { message_id: messageId }) },
      "a pool thread died, a new one takes its place",
    );
    if (messageId !== undefined && notice?.slot === undefined) this.#o.onLateError?.({ messageId, error });
  }
}
