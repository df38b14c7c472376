import type { Receipt } from "../../transport.ts";
import type { StoredMessage } from "./stored-message.ts";

export interface CancelledMessage {
  readonly message: StoredMessage;
  /** Wall clock, milliseconds. */
  readonly at: number;
  readonly by: string | null;
  /** Of the delivery that was under way. */
  readonly fence: number | undefined;
}

/** The newest are remembered; a process's memory is no archive. */
const KEPT = 10_000;

/** Messages that were cancelled, and who wants to hear of it. */
export class Cancellations {
  readonly #cancelled = new Map<string, CancelledMessage>();
  readonly #listeners = new Set<() => void>();

  add(cancelled: CancelledMessage): void {
    this.#cancelled.set(cancelled.message.id, cancelled);
    const [oldest] = this.#cancelled.keys();
    if (this.#cancelled.size > KEPT && oldest !== undefined) this.#cancelled.delete(oldest);
    if (cancelled.fence !== undefined) this.#tell();
  }

  find(id: string): CancelledMessage | undefined {
    return this.#cancelled.get(id);
  }

  has({ id, queue, fence }: Receipt): boolean {
    const found = this.#cancelled.get(id);
    return found !== undefined && found.message.queue === queue && found.fence === fence;
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  clear(): void {
    this.#cancelled.clear();
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      // Not from within the caller's call, as with wake-ups.
      queueMicrotask(() => {
        if (this.#listeners.has(listener)) listener();
      });
    }
  }
}
