import type { Clock, Received, Timer } from "@symphony/core";
import { type ChildExit, restartDelayMs } from "./respawn.ts";
import type { SeatEvents, ThreadSeat, Ticketed } from "./thread-seat.ts";

export interface LaneInput {
  readonly clock: Clock;
  /** A thread with a single slot. */
  readonly open: (events: Pick<SeatEvents, "ready" | "freed" | "gone" | "orphaned">) => ThreadSeat;
}

/**
 * Runs suspects one at a time, each alone in a fresh thread: whoever takes that thread down has done it before.
 */
export class IsolationLane {
  readonly #o: LaneInput;
  #queue: Ticketed[] = [];
  #seat: ThreadSeat | undefined;
  #timer: Timer | undefined;
  #failedStarts: ChildExit[] = [];
  #closed = false;

  constructor(input: LaneInput) {
    this.#o = input;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  add(entry: Ticketed): void {
    this.#queue.push(entry);
    this.#open();
  }

  abort(signal: AbortSignal): Ticketed[] {
    const aborted = this.#queue.filter((entry) => entry.signal === signal);
    this.#queue = this.#queue.filter((entry) => entry.signal !== signal);
    this.#seat?.abort(signal);
    return aborted;
  }

  /** Resolves what was waiting; false: it is not here. */
  cancel(received: Received): boolean {
    const waiting = this.#queue.find((entry) => entry.received === received);
    if (waiting === undefined) return this.#seat?.cancel(received) ?? false;
    this.#queue = this.#queue.filter((entry) => entry !== waiting);
    waiting.resolve({ kind: "interrupted", reason: "cancelled" });
    return true;
  }

  watch(now: number): void {
    this.#seat?.watch(now);
  }

  /** Returns what had not been started. */
  close(): Ticketed[] {
    this.#closed = true;
    this.#timer?.cancel();
    this.#seat?.shutDown();
    return this.#queue.splice(0);
  }

  #open(): void {
    if (this.#closed || this.#seat !== undefined || this.#timer !== undefined || this.#queue.length === 0) return;
    let wasReady = false;
    const openedAt = this.#o.clock.monotonic();
    this.#seat = this.#o.open({
      ready: (seat) => {
        wasReady = true;
        this.#failedStarts = [];
        const entry = this.#queue.shift();
        if (entry === undefined) seat.stop(true);
        else seat.post(entry);
      },
      freed: (seat) => {
        if (seat.inFlight === 0) seat.stop(true);
      },
      orphaned: (entries) => this.#queue.unshift(...entries),
      gone: () => {
        this.#seat = undefined;
        if (wasReady || this.#closed) return this.#open();
        const at = this.#o.clock.monotonic();
        this.#failedStarts.push({ at, livedMs: at - openedAt, planned: false, productive: false });
        this.#timer = this.#o.clock.schedule(restartDelayMs(this.#failedStarts), () => {
          this.#timer = undefined;
          this.#open();
        });
      },
    });
  }
}
