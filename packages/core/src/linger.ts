import type { Clock, Timer } from "./clock.ts";
import type { Prefetch } from "./prefetch.ts";
import type { Gate } from "./worker-state.ts";

/** Milliseconds that what was handled, and the room that it has left, wait at most for more of it. */
export const LINGER_MS = 10;

export interface LingerInput {
  readonly clock: Clock;
  readonly gate: Gate;
  readonly prefetch: Prefetch;
  readonly batchSize: number;
}

/**
 * The wait before a receive that could only bring a few messages, which cost the store as much as many: while enough wait
 * for their handlers, room may grow. From its first `wait` on it lasts `LINGER_MS`, whatever opens the gate meanwhile.
 */
export class Linger {
  readonly #o: LingerInput;
  #timer: Timer | undefined;
  #hasPassed = false;

  constructor(input: LingerInput) {
    this.#o = input;
  }

  /** Whether to receive now. @param waiting - Messages that wait here for a slot. */
  isOver(room: number, waiting: number): boolean {
    const { batchSize, prefetch } = this.#o;
    return room >= batchSize || waiting * 2 <= prefetch.size || this.#hasPassed;
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
  }
}
