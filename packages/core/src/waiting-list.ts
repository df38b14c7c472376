import type { Listed } from "./roster.ts";
import type { ProcessSpan } from "./telemetry/process-span.ts";
import type { Received } from "./transport.ts";
import type { Batch } from "./worker-state.ts";

export interface Waiting {
  readonly received: Received;
  /** With which it came. */
  readonly batch: Batch;
}

/** A message that is being handled. */
export interface Begun extends Waiting, Listed {
  /** Monotonic. */
  readonly startedAt: number;
  span: ProcessSpan | undefined;
}

/** Places that are worth tidying up. */
const MANY = 1_024;

/** Messages received and not started, in the order in which they came. Taking the first one costs the same however many there are. */
export class WaitingList {
  #items: (Waiting | undefined)[] = [];
  /** Those before it are taken, and not kept. */
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  add(waiting: Waiting): void {
    // With always some waiting, it would never be empty, and grow for ever.
    if (this.#head >= MANY && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#items.push(waiting);
  }

  /** The first one. */
  take(): Waiting | undefined {
    const first = this.#items[this.#head];
    if (first === undefined) return undefined;
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head >= this.#items.length) this.clear();
    return first;
  }

  /** Takes this one out, wherever it is. */
  remove(received: Received): Waiting | undefined {
    const at = this.#items.findIndex((each, i) => i >= this.#head && each?.received === received);
    return at < 0 ? undefined : this.#items.splice(at, 1)[0];
  }

  all(): readonly Received[] {
    return (this.#items.slice(this.#head) as Waiting[]).map(({ received }) => received);
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
