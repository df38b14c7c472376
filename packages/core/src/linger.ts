import type { Clock, Timer } from "./clock.ts";
import type { Gate } from "./worker-state.ts";

/** Milliseconds that what was handled, and the room that it has left, wait at most for more of it. */
export const LINGER_MS = 10;

/** The wait before a receive that could only bring a few. From its first `wait` on it lasts `LINGER_MS`, whatever opens the gate meanwhile. */
export class Linger {
  readonly #clock: Clock;
  readonly #gate: Gate;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(clock: Clock, gate: Gate) {
    this.#clock = clock;
    this.#gate = gate;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when something has changed, its own end included. */
  wait(): Promise<void> {
    this.#timer ??= this.#clock.schedule(LINGER_MS, () => {
      this.#isOver = true;
      this.#gate.open();
    });
    return this.#gate.wait();
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isOver = false;
  }
}
