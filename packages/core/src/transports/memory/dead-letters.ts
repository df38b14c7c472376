import type { DeadLetterGroup, DeadLetterGroupFilter, DeadLetterGroups } from "../../dead-letter-groups.ts";
import { matchesQueue } from "../../queue-patterns.ts";
import type { DeadLetterFilter, Failure } from "../../transport.ts";
import type { StoredMessage } from "./stored-message.ts";

export interface StoredDeadLetter {
  /** Rises with every dead letter: the cursor of a listing. */
  readonly place: number;
  readonly message: StoredMessage;
  /** The wire name, null when the record could not be decoded. */
  readonly type: string | null;
  readonly failure: Failure;
  /** Wall clock, milliseconds. */
  readonly failedAt: number;
}

const nameOf = (queue: string, id: string): string => `${queue}/${id}`;

/** Dead letters in the order in which they failed. Listing looks at all of them; nothing on the way of a message does. */
export class DeadLetters {
  readonly #letters = new Map<string, StoredDeadLetter>();
  #places = 0;

  /** Of the newest; 0 when there never was one. */
  get lastPlace(): number {
    return this.#places;
  }

  has(queue: string, id: string): boolean {
    return this.#letters.has(nameOf(queue, id));
  }

  add(message: StoredMessage, about: { failure: Failure; type: string | null }, now: number): void {
    this.#places += 1;
    this.#letters.set(nameOf(message.queue, message.id), { ...about, message, place: this.#places, failedAt: now });
  }

  /** As it was, in its old place of the list. False: there is one again. */
  putBack(letter: StoredDeadLetter): boolean {
    const { queue, id } = letter.message;
    if (this.has(queue, id)) return false;
    const later = [...this.#letters].filter(([, { place }]) => place > letter.place);
    this.#letters.set(nameOf(queue, id), letter);
    // The map is in order of place: those that come after it move behind it.
    for (const [name, each] of later) {
      this.#letters.delete(name);
      this.#letters.set(name, each);
    }
    return true;
  }

  delete({ message }: StoredDeadLetter): void {
    this.#letters.delete(nameOf(message.queue, message.id));
  }

  /** Oldest first. */
  find(filter: DeadLetterFilter): StoredDeadLetter[] {
    const ids = filter.ids === undefined ? undefined : new Set(filter.ids);
    const since = filter.since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(filter.since);
    const search = filter.search?.toLowerCase();
    const until = filter.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(filter.until);
    return [...this.#letters.values()].filter(
      (letter) =>
        (ids === undefined || ids.has(letter.message.id)) &&
        (filter.type === undefined || letter.type === filter.type) &&
        (filter.queue === undefined || letter.message.queue === filter.queue) &&
        (filter.queues === undefined || matchesQueue(filter.queues, letter.message.queue)) &&
        (filter.fingerprint === undefined || letter.failure.fingerprint === filter.fingerprint) &&
        (search === undefined || letter.failure.error.message.toLowerCase().includes(search)) &&
        letter.failedAt >= since &&
        letter.failedAt < until,
    );
  }

  group(filter: DeadLetterGroupFilter, limit: number): DeadLetterGroups {
    const found = Map.groupBy(this.find(filter), (letter) => letter.failure.fingerprint);
    const groups = [...found].map(([fingerprint, letters]) => toGroup(fingerprint, letters)).sort((a, b) => b.count - a.count);
    return { groups: groups.slice(0, limit), hasMore: groups.length > limit };
  }

  countByQueue(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { message } of this.#letters.values()) counts.set(message.queue, (counts.get(message.queue) ?? 0) + 1);
    return counts;
  }

  clear(): void {
    this.#letters.clear();
  }
}

/** @param letters - Oldest first, at least one. */
function toGroup(fingerprint: string, letters: readonly StoredDeadLetter[]): DeadLetterGroup {
  const [first, last] = [letters[0], letters.at(-1)] as [StoredDeadLetter, StoredDeadLetter];
  const { reason, error } = last.failure;
  const [firstFailedAt, lastFailedAt] = [first, last].map(({ failedAt }) => new Date(failedAt).toISOString()) as [string, string];
  const { id, queue } = last.message;
  return {
    fingerprint,
    count: letters.length,
    accuracy: "exact",
    type: last.type,
    queue,
    reason,
    error,
    firstFailedAt,
    lastFailedAt,
    lastId: id,
  };
}
