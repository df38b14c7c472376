import type { Clock } from "@symphony/core";
import type { QueueInfo } from "./queues.ts";

/** Where the last message of a claim lay in its queue: its priority, and its time in microseconds since 1970. */
export interface Head {
  readonly priority: number;
  readonly us: number;
}

/** Where a claim begins. */
export interface Beginning {
  /** How many of the queues to claim from. Those that come after a head are left out: there may be something before it. */
  readonly queues: number;
  /** In the last of these; undefined: at the beginning of all. */
  readonly head: Head | undefined;
  /** What such a claim does not find is not there. */
  readonly isWhole: boolean;
  readonly startedAt: number;
  /** How often each queue had been looked at as a whole. */
  readonly looks: readonly number[];
}

/** What a claim has taken of a queue. */
export interface End {
  readonly count: number;
  /** Where the last message lay; undefined where the claim does not tell. */
  readonly head: Head | undefined;
}

/** Messages claimed from a queue that has given all that was asked for since; fewer cost nothing that could be felt. */
const IN_THE_WAY = 100;
/** With several queues: a head leaves out those behind it, and what it then finds too little of costs a second claim. */
const IN_THE_WAY_OF_SEVERAL = 2_000;
/**
 * Milliseconds after which a claim looks at a queue from its beginning again, and claims go on from where that one ends.
 * What comes to lie before the head meanwhile (released by a worker that stops, or committed late) waits for so long
 * behind the others, in a queue that gives full claims all the time.
 */
const LOOK_BACK_MS = 250;
/**
 * … or for so many times as long as the last such claim took, where an old transaction has left much to step over; as long as
 * that, claims begin at the beginning after one at the head has found too little, so that it costs a part of the time alone
 * if it had much to step over in vain;
 */
const LOOK_BACK_FACTOR = 4;
/** but in milliseconds no longer than this. */
const LOOK_BACK_MOST_MS = 5_000;

interface Known {
  head: Head | undefined;
  /** Messages taken since the last claim that found fewer than it could take. */
  taken: number;
  /** No claim begins at the head before this time: the last one that did was in vain. */
  restsUntil: number;
  /** When a claim begins at the beginning again. */
  dueAt: number;
  looks: number;
}

/**
 * Where the ready messages of queues begin, as full claims have left it. Claimed messages stay in the index until nobody's
 * snapshot needs them, which is tens of milliseconds, or as long as somebody keeps a transaction open: a claim that began
 * at the beginning would have to step over all of them.
 */
export class QueueHeads {
  readonly #clock: Clock;
  readonly #known = new Map<QueueInfo, Known>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Where the next claim from these queues begins. @param isWhole - At the beginning, whatever is known. */
  next(queues: readonly QueueInfo[], isWhole: boolean): Beginning {
    const startedAt = this.#clock.monotonic();
    const known = queues.map((queue) => this.#of(queue));
    const looks = known.map((each) => each.looks);
    const many = queues.length === 1 ? IN_THE_WAY : IN_THE_WAY_OF_SEVERAL;
    const first = known.findIndex(({ head, taken, restsUntil }) => head !== undefined && taken >= many && startedAt >= restsUntil);
    if (!isWhole && first >= 0 && known.every(({ dueAt }) => startedAt < dueAt))
      return { queues: first + 1, head: known[first]?.head, isWhole: false, startedAt, looks };
    for (const each of known) each.dueAt = startedAt + LOOK_BACK_MS;
    return { queues: queues.length, head: undefined, isWhole: true, startedAt, looks };
  }

  /** The claim did not take place. */
  undone(queues: readonly QueueInfo[], { isWhole, startedAt }: Beginning): void {
    if (!isWhole) return;
    for (const queue of queues) {
      const known = this.#of(queue);
      // Unless another one has looked meanwhile.
      if (known.dueAt === startedAt + LOOK_BACK_MS) known.dueAt = startedAt;
    }
  }

  /** A claim of up to `max` messages has answered. */
  ended(queues: readonly QueueInfo[], { isWhole, startedAt, looks }: Beginning, ends: readonly End[], max: number): void {
    const now = this.#clock.monotonic();
    /** Those behind it were not looked at, if it is full. */
    const last = ends.findLastIndex(({ count }) => count > 0);
    const isFull = ends.reduce((sum, { count }) => sum + count, 0) >= max;
    for (const [k, queue] of queues.entries()) {
      const known = this.#of(queue);
      const { count, head } = ends[k] as End;
      // One that a whole look has found empty: nothing is in the way there any more.
      const isEmpty = isWhole && count === 0 && k < last;
      known.taken = isFull && !isEmpty ? known.taken + count : 0;
      const longest = Math.min(LOOK_BACK_MOST_MS, (now - startedAt) * LOOK_BACK_FACTOR);
      if (!isFull) {
        known.head = undefined;
        known.dueAt = now;
        if (!isWhole) known.restsUntil = now + Math.max(LOOK_BACK_MS, longest);
      } else if (isWhole) {
        known.looks += 1;
        known.dueAt = Math.max(known.dueAt, now + longest);
        // Also when that is further back than before, or not known: more may lie there than one claim takes.
        known.head = head;
      } else if (head !== undefined && looks[k] === known.looks && isBeyond(head, known.head)) known.head = head;
    }
  }

  #of(queue: QueueInfo): Known {
    let known = this.#known.get(queue);
    if (known === undefined) {
      known = { head: undefined, taken: 0, restsUntil: Number.NEGATIVE_INFINITY, dueAt: Number.NEGATIVE_INFINITY, looks: 0 };
      this.#known.set(queue, known);
    }
    return known;
  }
}

/** Of two claims at the same time, the one that reaches further may answer first. */
const isBeyond = (end: Head, head: Head | undefined): boolean => head === undefined || head.priority !== end.priority || head.us < end.us;
