import type { Receiver, Sender } from "../transport.ts";

/** What a store keeps of a schedule; times in milliseconds since 1970, by the store's clock. */
export interface ScheduleState {
  readonly name: string;
  /** Changes when the due times do. */
  readonly definition: string;
  /** What the trigger does, for lists. */
  readonly text: string;
  /** Wire name of the message. */
  readonly type: string;
  readonly missedAfterMs: number;
  /** One more with every change but those of the lease; who changes something names the one that it has seen. */
  readonly revision: number;
  /** The next due time and when it is to be dispatched; null: never again. */
  readonly dueAt: number | null;
  readonly runAt: number | null;
  /** Due times before it do not count: the schedule was paused. */
  readonly notBefore: number | null;
  /** Null: it is not paused. */
  readonly pausedAt: number | null;
  readonly lastDueAt: number | null;
  readonly lastRunAt: number | null;
  readonly lastMessageId: string | null;
  /** Dispatched, since the schedule is known. */
  readonly runs: number;
  /** Due times that were not dispatched within `missedAfterMs`, whatever became of them. */
  readonly missed: number;
  /** Why the last attempt dispatched nothing; null: it did. */
  readonly lastError: string | null;
  readonly holder: string | null;
  readonly heldUntil: number | null;
}

/** What a process says of a schedule that is new or was changed. */
export type ScheduleEntry = Pick<ScheduleState, "name" | "definition" | "text" | "type" | "missedAfterMs" | "dueAt" | "runAt">;

/** What a step of a schedule changes. */
export interface ScheduleAdvance {
  readonly name: string;
  readonly revision: number;
  readonly dueAt: number | null;
  readonly runAt: number | null;
  /** The due time that is dispatched with it, or null for a run beside the due times; absent: none is. */
  readonly ranDueAt?: number | null;
  /** Due times that are or were missed. */
  readonly missed?: number;
  /** At most 1000 characters. Absent: none. */
  readonly error?: string;
}

/** What came of asking for schedules. */
export interface HeldSchedules {
  /** The store's clock, read last. */
  readonly now: number;
  /** Those that this holder has the lease of. */
  readonly held: readonly ScheduleState[];
  /** Names that the store does not know. */
  readonly unknown: readonly string[];
}

/**
 * Keeps the state of schedules for the whole fleet. Every method is one atomic step. Leases only spare the store work:
 * that each due time is dispatched once is ensured by the revision, in the same commit as the message.
 */
export interface ScheduleStore {
  /**
   * Takes or renews the leases of these schedules, as far as nobody else has them: those too whose run is overdue by
   * `OVERDUE_MS`, from whoever should have seen to it. One round trip.
   */
  hold(holder: string, names: readonly string[], leaseMs: number): Promise<HeldSchedules>;
  /**
   * Stores a schedule that is unknown (`revision` null), or replaces what describes it; its history and a pause stay.
   * False: somebody else was faster.
   */
  put(entry: ScheduleEntry, revision: number | null): Promise<boolean>;
  /**
   * Changes a schedule and stores, in the same commit, what `work` sends through `client`. False, and nothing is
   * stored: it is of another revision by now; `work` is not called then. It may be run again when the store has to; it resolves with the message's id.
   *
   * @param work - Its `client` is what `send` takes as `transaction`; undefined in a store that has no such thing.
   * @throws whatever `work` throws; nothing is stored then.
   */
  advance(advance: ScheduleAdvance, work?: (client: unknown) => Promise<string>): Promise<boolean>;
  /** From now on nothing is dispatched, or it is again. What was due in between does not count. False: it is unknown. */
  setPaused(name: string, paused: boolean): Promise<boolean>;
  /** All schedules, by name. */
  list(): Promise<{ readonly now: number; readonly schedules: readonly ScheduleState[] }>;
  /** Forgets a schedule with its history. A process that still has it stores it anew. False: it is unknown. */
  remove(name: string): Promise<boolean>;
  /** Gives up all leases of this holder, so that others need not wait. */
  release(holder: string): Promise<void>;
}

/** Milliseconds after which anybody may see to a run, although another process has the lease. */
export const OVERDUE_MS = 2_000;
export const MOST_ERROR_CHARS = 1_000;

/** Can keep schedules. */
export interface Schedulable {
  readonly schedules: ScheduleStore;
}

export const isSchedulable = <T extends Sender | Receiver>(t: T): t is T & Schedulable =>
  typeof (t as Partial<Schedulable>).schedules?.advance === "function";

/** Milliseconds by which the next run is late, 0 while it counts as being in time: then somebody has to look. */
export function overdueMs(state: ScheduleState, now: number): number {
  if (state.runAt === null || state.pausedAt !== null) return 0;
  const late = now - Math.max(state.runAt, state.notBefore ?? 0);
  return late > state.missedAfterMs ? late : 0;
}
