import { backoffMs } from "./backoff.ts";
import type { Runtime, Timer } from "./clock.ts";
import type { Settler } from "./settle.ts";

export interface RejectionWriterInput {
  readonly settler: Settler;
  readonly runtime: Runtime;
  readonly onError: (error: unknown) => void;
  /** What had failed may be written again. */
  readonly onDue: () => void;
}

/**
 * Writes rejections for a loop that has other things to do: what cannot be written now is tried again after a while,
 * and holds up neither receiving nor acknowledging. The messages stay ours meanwhile.
 */
export class RejectionWriter {
  readonly #o: RejectionWriterInput;
  #failures = 0;
  #again: Timer | undefined;
  #ended = false;

  constructor(input: RejectionWriterInput) {
    this.#o = input;
  }

  /** Never rejects. */
  async write(): Promise<void> {
    const { settler, runtime, onError, onDue } = this.#o;
    if (!settler.hasRejections) return;
    try {
      await settler.flushRejections();
      this.#failures = 0;
    } catch (error) {
      onError(error);
      this.#failures += 1;
      if (this.#ended) return;
      this.#again ??= runtime.clock.schedule(backoffMs(this.#failures, runtime.random), () => {
        this.#again = undefined;
        settler.takeUpFailed();
        onDue();
      });
    }
  }

  /** From now on nothing is tried again by itself; `flush` of the settler writes what is left. */
  end(): void {
    this.#ended = true;
    this.#again?.cancel();
  }
}
