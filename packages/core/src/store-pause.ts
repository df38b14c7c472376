import { backoffMs } from "./backoff.ts";
import type { Runtime } from "./clock.ts";
import { MessengerError } from "./errors.ts";
import type { Gate } from "./worker-state.ts";

export interface StorePauseInput {
  readonly runtime: Runtime;
  readonly gate: Gate;
  readonly isRunning: () => boolean;
  readonly onError: (error: unknown) => void;
}

/** The worker's pauses after errors of its store, longer with each in a row. */
export class StorePause {
  readonly #o: StorePauseInput;
  #failures = 0;
  /** Monotonic; 0: there is no pause. */
  #until = 0;

  constructor(input: StorePauseInput) {
    this.#o = input;
  }

  /** The store has answered; true when it had failed before. */
  over(): boolean {
    const had = this.#failures > 0;
    this.#failures = 0;
    return had;
  }

  /** The store is known to answer: what is left of a pause need not be waited out. */
  cutShort(): void {
    if (this.#until === 0) return;
    this.#until = 0;
    this.#o.gate.open();
  }

  /** Waits after an error of the transport; throws it when waiting cannot help. */
  async after(error: unknown): Promise<void> {
    const { runtime, gate, isRunning, onError } = this.#o;
    const code = error instanceof MessengerError ? error.code : undefined;
    if (code === "QUEUE_NOT_FOUND" || code === "SCHEMA_VERSION_MISMATCH") throw error;
    onError(error);
    this.#failures += 1;
    this.#until = runtime.clock.monotonic() + backoffMs(this.#failures, runtime.random);
    // Nothing else may cut this short: every finished handler opens the gate, which would turn the pause into a hot loop.
    while (isRunning() && runtime.clock.monotonic() < this.#until) {
      gate.close();
      const timer = runtime.clock.schedule(this.#until - runtime.clock.monotonic(), () => gate.open());
      await gate.wait();
      timer.cancel();
    }
    this.#until = 0;
  }
}
