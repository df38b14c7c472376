import cluster, { type Worker as ClusterWorker } from "node:cluster";
import type { Clock, ErrorRecord, Timer, WorkerInfo } from "@symphony/core";
import { type ChildBeat, type ChildWord, type FromChild, parseFromChild, seal, type ToChild } from "./ipc.ts";

/** How a child ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly livedMs: number;
  readonly rssBytes: number;
  /** We ended it because it had stopped speaking. */
  readonly silent: boolean;
}

/** The right of a child to receive from one transport. */
export interface Lease {
  readonly worker: WorkerInfo;
  /** It is in the database, and the child was told. */
  registered: boolean;
}

export interface ChildEvents {
  readonly message: (child: Child, message: FromChild) => void;
  readonly ended: (child: Child, end: ChildEnd) => void;
}

/** Milliseconds without a beat after which a child is taken for stuck: eight beats, so that starvation alone is not enough. */
const SILENCE_LIMIT_MS = 8_000;
/** Milliseconds for words that wait in the channel: if this process was the one that stood still, they are read now. */
const LAST_CHANCE_MS = 1_000;
/** Milliseconds for loading the configuration; a child that takes longer is taken for stuck as well. */
const BOOT_LIMIT_MS = 60_000;

const NO_BEAT: ChildBeat = { inFlight: 0, slots: 0, processed: 0, failed: 0, leaseLost: 0, rssBytes: 0 };

/** One forked process, seen from the supervisor: what it said last, and whether it still speaks. */
export class Child {
  readonly pid: number;
  readonly forkedAt: number;
  /** By transport; empty until the child is ready. */
  readonly leases = new Map<string, Lease>();
  /** It was asked to end. */
  leaving = false;
  lastBeat: ChildBeat = NO_BEAT;
  /** Monotonic, when it last received from its transports; undefined before. */
  lastPollAt: number | undefined;
  /** What it said it failed of. */
  failure: ErrorRecord | undefined;
  /** It has received, or may have. */
  everRegistered = false;
  readonly #process: ClusterWorker;
  readonly #clock: Clock;
  readonly #events: ChildEvents;
  #watch: Timer | undefined;
  readonly #lines = new Map<string, { readonly free: number; readonly polledAt: number | undefined }>();
  #silent = false;
  #ended = false;

  /** @throws {Error} of `node:child_process` when this machine has no room for another process. */
  constructor(env: Readonly<Record<string, string>>, clock: Clock, events: ChildEvents) {
    this.#clock = clock;
    this.#events = events;
    this.forkedAt = clock.monotonic();
    this.#process = cluster.fork(env);
    this.pid = this.#process.process.pid ?? 0;
    this.#process.on("message", (value: unknown) => this.#receive(value));
    // A write to a child that has just died fails, and its exit is reported below; one that never came to be has no exit.
    this.#process.on("error", () => this.pid === 0 && this.#exited(null, null));
    this.#process.once("exit", (code: number | null, signal: NodeJS.Signals | null) => this.#exited(code, signal));
    this.#expectWord(BOOT_LIMIT_MS);
  }

  /** It may receive from every transport. */
  get registered(): boolean {
    return this.leases.size > 0 && [...this.leases.values()].every((lease) => lease.registered);
  }

  /** By its last beat; 0 when it cannot receive from there. */
  freeSlots(transport: string): number {
    return this.isReceiving(transport) ? (this.#lines.get(transport)?.free ?? 0) : 0;
  }

  /** When a receive of its was last answered there, on the monotonic clock; undefined: never, as far as it has said. */
  lastPollOf(transport: string): number | undefined {
    return this.#lines.get(transport)?.polledAt;
  }

  isReceiving(transport: string): boolean {
    return this.leases.get(transport)?.registered === true && !this.leaving;
  }

  renewed(transport: string, lease: Lease, age: { readonly ageMs: number; readonly at: number }): void {
    lease.registered = true;
    this.everRegistered = true;
    this.send({ kind: "renewed", transport, workerId: lease.worker.workerId, ...age });
  }

  loseLease(transport: string, { worker }: Lease): void {
    this.leases.delete(transport);
    this.send({ kind: "leaseLost", transport, workerId: worker.workerId });
  }

  send(message: ToChild): void {
    if (this.#process.isConnected()) this.#process.send(seal(message), undefined, () => undefined);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.process.kill(signal);
  }

  #receive(value: unknown): void {
    const message = parseFromChild(value);
    if (message === undefined || this.#ended) return;
    this.#expectWord(SILENCE_LIMIT_MS);
    if (message.kind === "beat" || message.kind === "stopped") this.#note(message);
    if (message.kind === "failed") this.failure = message.error;
    this.#events.message(this, message);
  }

  #note({ beat, pollAgeMs, lines }: ChildWord): void {
    const now = this.#clock.monotonic();
    this.lastBeat = beat;
    if (pollAgeMs !== null) this.lastPollAt = now - pollAgeMs;
    for (const [name, line] of Object.entries(lines))
      this.#lines.set(name, { free: line.free, polledAt: line.pollAgeMs === null ? undefined : now - line.pollAgeMs });
  }

  /** The event loop behind this process has to say something within `limitMs`, or it is ended: its work is for others. */
  #expectWord(limitMs: number): void {
    this.#watch?.cancel();
    this.#watch = this.#clock.schedule(limitMs, () => {
      this.#watch = this.#clock.schedule(LAST_CHANCE_MS, () => {
        this.#silent = true;
        this.kill("SIGKILL");
      });
    });
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch?.cancel();
    this.#events.ended(this, {
      code,
      signal,
      livedMs: this.#clock.monotonic() - this.forkedAt,
      rssBytes: this.lastBeat.rssBytes,
      silent: this.#silent,
    });
  }
}
