import type { ErrorRecord } from "./error-record.ts";
import type { DeadLetterFilter, DeadLetterReason, Receiver, Sender } from "./transport.ts";

/** Dead letters that one bug made: they have the same fingerprint. What differs between them is that of the newest. */
export interface DeadLetterGroup {
  /** Empty for dead letters that were stored without one, by tools of the store itself. */
  readonly fingerprint: string;
  readonly count: number;
  /** `estimated`: the count was cut off, or taken from statistics, to keep the cost constant. */
  readonly accuracy: "exact" | "estimated";
  readonly type: string | null;
  readonly queue: string;
  readonly reason: DeadLetterReason;
  readonly error: ErrorRecord;
  /** RFC 3339. */
  readonly firstFailedAt: string;
  readonly lastFailedAt: string;
  /** The newest of them. */
  readonly lastId: string;
}

/** A group is one fingerprint: it cannot be filtered by one, nor by single messages or their words. */
export type DeadLetterGroupFilter = Pick<DeadLetterFilter, "type" | "queue" | "queues" | "since" | "until">;

export interface DeadLetterGroups {
  /** Largest first. */
  readonly groups: readonly DeadLetterGroup[];
  /** There are more than were asked for, or than can be looked at. */
  readonly hasMore: boolean;
}

/** Can tell which bugs its dead letters come from, at a cost that does not grow with their number beyond a limit. */
export interface Groupable {
  /** @param limit - Groups, 1 to 1000. */
  groupDeadLetters(filter: DeadLetterGroupFilter, limit: number): Promise<DeadLetterGroups>;
}

export const isGroupable = <T extends Sender | Receiver>(t: T): t is T & Groupable =>
  typeof (t as Partial<Groupable>).groupDeadLetters === "function";
