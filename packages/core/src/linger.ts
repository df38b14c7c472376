import type { Clock, Timer } from "./clock.ts";
import type { Prefetch } from "./prefetch.ts";
import type { Gate } from "./worker-state.ts";

/** Milliseconds that what was handled, and the room that it has left, wait at most for more of it; or for the first of it. */
export const LINGER_MS = 10;

export interface LingerInput {
  readonly clock: Clock;
  readonly gate: Gate;
  readonly prefetch: Prefetch;
  readonly batchSize: number;
}

/** What the worker has to do. */
export interface Doing {
  /** For so many messages more. */
  readonly room: number;
  /** Of what it holds: how many messages wait for a slot. */
  readonly waiting: number;
  readonly held: number;
  /** The store has said since the last receive that there is something. */
  readonly isWoken: boolean;
}

/**
 * The wait before a receive that could only bring little, which costs the store as much as a lot:
 *
 * - While enough messages wait for their handlers, room may grow.
 * - When a worker that had nothing to do has received all there was, the next receive would take the processor from the
 *   handlers that it has just started. It goes out with the first message that is handled, or when more is notified.
 *
 * From its first `wait` on it lasts `LINGER_MS`, whatever opens the gate meanwhile.
 */
export class Linger {
  readonly #o: LingerInput;
  #timer: Timer | undefined;
  #hasPassed = false;
  /** What was held when all had come that there was; undefined: there may be more. */
  #calmWith: number | undefined;

  constructor(input: LingerInput) {
    this.#o = input;
  }

  /** Whether to receive now. */
  isOver({ room, waiting, held, isWoken }: Doing): boolean {
    const { batchSize, prefetch } = this.#o;
    if (this.#hasPassed) return true;
    if (this.#calmWith !== undefined && held >= this.#calmWith && !isWoken) return false;
    return room >= batchSize || waiting * 2 <= prefetch.size;
  }

  /** A worker that had nothing to do was woken, and has received all there was: `held` messages. */
  calm(held: number): void {
    this.#calmWith = held;
  }

  /** Resolves when something has changed, its own end included. */
  wait(): Promise<void> {
    const { clock, gate } = this.#o;
    this.#timer ??= clock.schedule(LINGER_MS, () => {
      this.#hasPassed = true;
      gate.open();
    });
    return gate.wait();
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#hasPassed = false;
    this.#calmWith = undefined;
  }
}
