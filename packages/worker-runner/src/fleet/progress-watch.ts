import type { Child } from "./child-process.ts";

/** What the watch needs to know of a worker process. */
export type Watched = Pick<Child, "freeSlots" | "lastPollOf">;

interface Wake {
  readonly at: number;
  /** Times since then that messages were seen waiting. */
  seen: number;
}

/** Milliseconds: more than the longest back-off and the timeout of a statement together, which heal by themselves. */
const PATIENCE_MS = 20_000;
const FEWEST_POLLS = 5;

/**
 * Finds worker processes that were woken for ready messages, have slots free, and do not ask for any: whatever holds
 * them up (a pool whose connections never came back, a receive without an end), their event loop turns, so that their
 * beats tell nothing of it.
 *
 * Only what the supervisor sees by itself counts: while it does not reach the database either, nobody is blamed.
 */
export class ProgressWatch {
  readonly #polls: number;
  readonly #wakes = new Map<string, Map<Watched, Wake>>();

  constructor(pollIntervalMs: number) {
    this.#polls = Math.max(FEWEST_POLLS, Math.ceil(PATIENCE_MS / pollIntervalMs));
  }

  woken(child: Watched, transport: string, at: number): void {
    const wakes = this.#of(transport);
    if (!wakes.has(child)) wakes.set(child, { at, seen: 0 });
  }

  /** It was woken and has let messages lie, at least once: others first. */
  isSlow(child: Watched, transport: string): boolean {
    return (this.#of(transport).get(child)?.seen ?? 0) > 1;
  }

  /** Messages are waiting there. Who has been letting them lie for too long; each is told once. */
  waiting<C extends Watched>(transport: string): readonly C[] {
    const stuck: C[] = [];
    const wakes = this.#of(transport);
    for (const [child, wake] of wakes) {
      const answered = (child.lastPollOf(transport) ?? Number.NEGATIVE_INFINITY) >= wake.at;
      if (answered || child.freeSlots(transport) === 0) wakes.delete(child);
      else if (++wake.seen >= this.#polls) {
        wakes.delete(child);
        stuck.push(child as C);
      }
    }
    return stuck;
  }

  /** Nothing is waiting there, or nobody can say. */
  reset(transport: string): void {
    this.#wakes.delete(transport);
  }

  #of(transport: string): Map<Watched, Wake> {
    const known = this.#wakes.get(transport);
    if (known !== undefined) return known;
    const made = new Map<Watched, Wake>();
    this.#wakes.set(transport, made);
    return made;
  }
}
