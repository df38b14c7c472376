import cluster from "node:cluster";
import { type Logger, type Received, type StopReason, stamps, type Timer, toErrorRecord } from "@symphony/core";
import { WorkerProcess, type WorkerProcessOptions } from "../worker-process.ts";
import { type ChildBeat, type ChildWord, type FromChild, parseToChild, type SuspectHeld, seal, type ToChild } from "./ipc.ts";
import { Lane } from "./lane.ts";
import { offerToOomKiller } from "./oom-preference.ts";

export interface ChildOptions extends Omit<WorkerProcessOptions, "fleet"> {
  readonly logger: Logger;
  /** This process is the isolation lane: it receives nothing and runs what it is told to adopt. */
  readonly lane: boolean;
}

/** The channel to the supervisor; `process` is one. */
export interface Channel {
  send?(message: unknown, callback?: (error: Error | null) => void): boolean;
  on(event: "message" | "disconnect", listener: (message?: unknown) => void): unknown;
}

/** Milliseconds between two beats over the channel. */
const BEAT_MS = 1_000;
/** Milliseconds without a renewed lease until everything in flight is given up: three seconds before others may take it. */
const GIVE_UP_MS = 7_000;
/** Milliseconds for messages in flight when the supervisor is gone: a child without one must not live on. */
const ORPHAN_DEADLINE_MS = 500;
/** Milliseconds between two `more`: one wakes a child that takes a whole batch. */
const MORE_EVERY_MS = 5;

/**
 * A worker process under a supervisor. Receives nothing before the supervisor has put its leases into the database,
 * gives everything up when they were not renewed in time, and ends when it is told to or when the supervisor is gone.
 *
 * Resolves with the reason when nothing of it runs any more.
 *
 * @param prepare - Loads the configuration and connects; what it throws is told to the supervisor, too.
 * @throws whatever made it impossible to go on; the supervisor has logged it by then.
 */
export async function runChild(prepare: () => Promise<ChildOptions>, channel: Channel = process): Promise<StopReason> {
  offerToOomKiller();
  // By default node:cluster ends a process whose primary is gone on the spot; it has messages to hand back.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  try {
    const child = new ChildRun(await prepare(), channel);
    try {
      return await child.run();
    } finally {
      await child.close();
    }
  } catch (error) {
    await say(channel, { kind: "failed", error: toErrorRecord(error) });
    throw error;
  }
}

/** Resolves when it has left this process; a supervisor that is gone does not listen, and `disconnect` says so. */
function say(channel: Channel, message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    if (channel.send === undefined) resolve();
    else channel.send(seal(message), () => resolve());
  });
}

class ChildRun {
  readonly #o: ChildOptions;
  readonly #channel: Channel;
  readonly #process: WorkerProcess;
  readonly #wakes = new Map<string, Set<(queues: readonly string[]) => void>>();
  readonly #cancels = new Map<string, Set<() => void>>();
  readonly #lane: Lane | undefined;
  #beatTimer: Timer | undefined;
  #lastResort: Timer | undefined;
  readonly #giveUpTimers = new Map<string, Timer>();
  /** Transports with a lease; a grant makes the worker receive, which an idle one should not with every renewal. */
  readonly #granted = new Set<string>();
  #saidMoreAt = Number.NEGATIVE_INFINITY;
  #ending = false;

  constructor(options: ChildOptions, channel: Channel) {
    this.#o = options;
    this.#channel = channel;
    this.#process = new WorkerProcess({
      ...options,
      fleet: (transport) => ({
        onWake: (listener) => addListener(this.#wakes, transport, listener),
        onCancel: (listener) => addListener(this.#cancels, transport, listener),
        onFull: () => this.#more(transport),
        isolate: (suspects) => void this.say({ kind: "isolate", suspects: suspects.map((received) => suspectOf(transport, received)) }),
      }),
    });
    this.#lane = options.lane
      ? new Lane({
          process: this.#process,
          messenger: options.messenger,
          slots: options.worker?.maxConcurrency ?? 1,
          say: (message) => this.say(message),
        })
      : undefined;
  }

  async run(): Promise<StopReason> {
    this.#channel.on("message", (message) => this.#receive(message));
    this.#channel.on("disconnect", () => void this.#orphaned());
    this.#beat();
    await this.#process.ready();
    await this.say({ kind: "ready", workers: this.#process.workers });
    const reason = await (this.#lane === undefined ? this.#consume() : this.#lane.run());
    await this.say({ kind: "stopped", reason, ...this.#word() });
    return reason;
  }

  say(message: FromChild): Promise<void> {
    return say(this.#channel, message);
  }

  async close(): Promise<void> {
    this.#beatTimer?.cancel();
    for (const timer of this.#giveUpTimers.values()) timer.cancel();
    await this.#process.close();
    this.#lastResort?.cancel();
  }

  async #consume(): Promise<StopReason> {
    const reason = await this.#process.run();
    // It ended by itself: the supervisor has to know why before it sees the exit.
    if (!this.#ending) await this.say({ kind: "limit", reason });
    return reason;
  }

  #receive(value: unknown): void {
    const message = parseToChild(value);
    if (message === undefined) return;
    const act: { readonly [Kind in ToChild["kind"]]: (message: Extract<ToChild, { kind: Kind }>) => void } = {
      renewed: (renewal) => this.#renewed(renewal),
      leaseLost: ({ transport, workerId }) => {
        if (this.#holds(transport, workerId)) this.#loseLease(transport, "the worker was reaped");
      },
      wake: ({ transport, queues = [] }) => {
        for (const listener of this.#wakes.get(transport) ?? []) listener(queues);
      },
      cancelled: ({ transport }) => {
        for (const listener of this.#cancels.get(transport) ?? []) listener();
      },
      stop: ({ reason, deadlineMs }) => this.#stop(reason, deadlineMs),
      pause: () => this.#process.pause(),
      resume: () => this.#process.resume(),
      adopt: ({ suspects }) => this.#lane?.adopt(suspects),
    };
    (act[message.kind] as (message: ToChild) => void)(message);
  }

  #stop(reason: StopReason, deadlineMs: number): void {
    this.#ending = true;
    this.#lane?.stop(reason, deadlineMs);
    void this.#process.stop(reason, { deadlineMs });
  }

  async #orphaned(): Promise<void> {
    this.#o.logger.error({}, "the supervisor is gone: handing back and ending");
    this.#stop("error", ORPHAN_DEADLINE_MS);
    const { clock } = this.#o.messenger.runtime;
    // Whatever holds the process up, it may not consume without a supervisor that keeps its leases.
    this.#lastResort = clock.schedule(ORPHAN_DEADLINE_MS + 1_000, () => process.exit(1), { unref: true });
  }

  /** The supervisor may speak of an id that this process has given up: that lease is nobody's. */
  #holds(transport: string, workerId: string): boolean {
    return this.#process.workers[transport]?.workerId === workerId;
  }

  #renewed({ transport, workerId, ageMs, at }: Extract<ToChild, { kind: "renewed" }>): void {
    if (!this.#holds(transport, workerId)) return;
    const { clock } = this.#o.messenger.runtime;
    // It may have waited in the channel while this process stood still. Not by the wall clock: a step of it would end the lease.
    const age = Math.max(ageMs, clock.monotonic() - at);
    this.#giveUpTimers.get(transport)?.cancel();
    const giveUp = (): void => this.#loseLease(transport, "the lease could not be renewed in time");
    this.#giveUpTimers.set(transport, clock.schedule(Math.max(0, GIVE_UP_MS - age), giveUp, { unref: true }));
    if (this.#lane !== undefined || age >= GIVE_UP_MS) return;
    this.#process.tryAgain(transport);
    if (this.#granted.has(transport)) return;
    this.#granted.add(transport);
    this.#process.grantLease(transport);
  }

  /** Everything in flight there is for others now. A new id makes it known again, and the supervisor registers that. */
  #loseLease(transport: string, why: string): void {
    this.#o.logger.error({ transport, in_flight: this.#process.inFlightOf(transport) }, `${why}: giving up what is in flight`);
    this.#giveUpTimers.get(transport)?.cancel();
    this.#granted.delete(transport);
    this.#lane?.loseLease();
    this.#process.loseLease(transport);
    void this.say({ kind: "ready", workers: this.#process.workers });
  }

  #beat(): void {
    void this.say({ kind: "beat", ...this.#word() });
    this.#beatTimer = this.#o.messenger.runtime.clock.schedule(BEAT_MS, () => this.#beat());
  }

  #word(): ChildWord {
    const { pollAgeMs } = this.#process.state();
    return { beat: this.#state(), pollAgeMs, lines: this.#process.lines(), metrics: this.#o.messenger.meter.drain() };
  }

  #state(): ChildBeat {
    const { inFlight, slots, processed, failed, leaseLost } = this.#process.state();
    const lane = this.#lane;
    return {
      inFlight: inFlight + (lane?.held ?? 0),
      slots,
      processed: processed + (lane?.processed ?? 0),
      failed: failed + (lane?.failed ?? 0),
      leaseLost,
      rssBytes: process.memoryUsage.rss(),
    };
  }

  #more(transport: string): void {
    const now = this.#o.messenger.runtime.clock.monotonic();
    if (now - this.#saidMoreAt < MORE_EVERY_MS) return;
    this.#saidMoreAt = now;
    void this.say({ kind: "more", transport });
  }
}

async function addListener<L>(all: Map<string, Set<L>>, transport: string, listener: L): Promise<() => Promise<void>> {
  const listeners = all.get(transport) ?? new Set();
  all.set(transport, listeners.add(listener));
  return async () => void listeners.delete(listener);
}

function suspectOf(transport: string, { envelope, receipt }: Received): SuspectHeld {
  const crashes = envelope?.last(stamps.redelivery)?.tries.crashes ?? 0;
  return { transport, receipt, alone: crashes > 0 || (envelope?.last(stamps.suspect)?.crashes ?? 0) > 1 };
}
