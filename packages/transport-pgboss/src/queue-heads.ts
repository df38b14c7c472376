import type { Clock } from "@symphony/core";
import type { QueueInfo } from "./queues.ts";

/** Where the last message of a claim lay in its queue: its priority, and its time in microseconds since 1970. */
export interface Head {
  readonly priority: number;
  readonly us: number;
}

/** Parameters of a claim: for each queue, where to begin; null for the beginning. */
export interface Heads {
  readonly priorities: readonly (number | null)[];
  readonly us: readonly (number | null)[];
  /** All queues are looked at from their beginning: what such a claim does not find is not there. */
  readonly isWhole: boolean;
}

/**
 * Milliseconds after which a claim looks at a queue from its beginning again. What comes to lie before the head meanwhile
 * (released by a worker that stops, or committed late) waits for so long behind the others, in a queue that gives full
 * claims all the time.
 */
const LOOK_BACK_MS = 250;
/** … or for so many times as long as the last such claim took, where an old transaction has left much to step over; */
const LOOK_BACK_FACTOR = 4;
/** but in milliseconds no longer than this. */
const LOOK_BACK_MOST_MS = 5_000;

/**
 * Where the ready messages of queues begin, as full claims have left it. Claimed messages stay in the index until nobody's
 * snapshot needs them, which is tens of milliseconds, or as long as somebody keeps a transaction open: a claim that began
 * at the beginning would have to step over all of them.
 */
export class QueueHeads {
  readonly #clock: Clock;
  readonly #heads = new Map<QueueInfo, Head>();
  /** When claims begin at the beginning again. */
  readonly #dueAt = new Map<QueueInfo, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Where the next claim from these queues begins. @param isWhole - At the beginning, whatever is known. */
  of(queues: readonly QueueInfo[], isWhole: boolean): Heads {
    const now = this.#clock.monotonic();
    const heads = queues.map((queue) => this.#heads.get(queue));
    const isDue = queues.some((queue) => now >= (this.#dueAt.get(queue) ?? now));
    if (!isWhole && !isDue && heads.some((head) => head !== undefined)) {
      return { priorities: heads.map((head) => head?.priority ?? null), us: heads.map((head) => head?.us ?? null), isWhole: false };
    }
    for (const queue of queues) this.#dueAt.set(queue, now + LOOK_BACK_MS);
    const none = queues.map(() => null);
    return { priorities: none, us: none, isWhole: true };
  }

  /** A claim from the beginning took so many milliseconds. */
  looked(queues: readonly QueueInfo[], tookMs: number): void {
    const now = this.#clock.monotonic();
    const pauseMs = Math.min(LOOK_BACK_MOST_MS, tookMs * LOOK_BACK_FACTOR);
    for (const queue of queues) this.#dueAt.set(queue, Math.max(this.#dueAt.get(queue) ?? now, now + pauseMs));
  }

  /** A claim that was full has taken messages up to here. */
  taken(queue: QueueInfo, head: Head): void {
    const before = this.#heads.get(queue);
    // Of two claims at the same time, the one that came later may have begun before the other.
    if (before === undefined || before.priority !== head.priority || before.us < head.us) this.#heads.set(queue, head);
  }

  /** The next claim begins at the beginning. */
  forget(queues: readonly QueueInfo[]): void {
    for (const queue of queues) {
      this.#heads.delete(queue);
      this.#dueAt.delete(queue);
    }
  }
}
