import { createInterface, type Interface } from "node:readline";
import type { Io } from "./io.ts";

/** Asks one question after the other on standard error; what is typed ahead answers the next ones. */
export class Questions {
  readonly #io: Io;
  readonly #reader: Interface;
  readonly #lines: string[] = [];
  #isClosed = false;
  #waiting: (() => void) | undefined;

  constructor(io: Io) {
    this.#io = io;
    this.#reader = createInterface({ input: io.input });
    this.#reader.on("line", (line) => {
      this.#lines.push(line);
      this.#waiting?.();
    });
    this.#reader.on("close", () => {
      this.#isClosed = true;
      this.#waiting?.();
    });
    io.signal.addEventListener("abort", this.close, { once: true });
  }

  /** The answer without white space around it; undefined after Ctrl-C or Ctrl-D. */
  async ask(question: string): Promise<string | undefined> {
    if (this.#io.signal.aborted) return undefined;
    this.#io.err(question);
    if (this.#lines.length === 0 && !this.#isClosed) await new Promise<void>((resolve) => (this.#waiting = resolve));
    this.#waiting = undefined;
    return this.#io.signal.aborted ? undefined : this.#lines.shift()?.trim();
  }

  readonly close = (): void => {
    this.#io.signal.removeEventListener("abort", this.close);
    this.#reader.close();
  };
}
