import { runTimeOf, type Schedule } from "./schedule.ts";

/** Where a schedule stands; times in milliseconds since 1970. */
export interface ScheduleProgress {
  /** The earliest due time that was neither dispatched nor left out; null: there is none any more. */
  readonly dueAt: number | null;
  /** Due times before it do not count: the schedule was paused then. */
  readonly notBefore: number | null;
}

/** What to do with a schedule now. */
export interface DuePlan {
  /** The due time to dispatch now, null when it is too early. */
  readonly run: number | null;
  /** It is dispatched later than `missedAfterMs` after its time. */
  readonly isLate: boolean;
  /** Due times that are given up by the missed-run policy; a count, cut off at 10000. */
  readonly missed: number;
  /** Where the schedule stands afterwards. */
  readonly nextDueAt: number | null;
}

/** Beyond it nobody cares about the exact number, and counting takes time. */
const MOST_COUNTED = 10_000;
const MINUTE_MS = 60_000;

/**
 * Decides what is due, pure: the same progress and time give the same plan. A due time is missed when nobody dispatched
 * it within `missedAfterMs`; the policy says what becomes of those. One due time at a time: ask again afterwards.
 */
export function planRun(schedule: Schedule, progress: ScheduleProgress, now: number): DuePlan {
  const first = firstCounted(schedule, progress);
  if (first === null || runTimeOf(schedule, first) > now) return { run: null, isLate: false, missed: 0, nextDueAt: first };
  // What is due before the cutoff is missed, with any jitter.
  const cutoff = now - schedule.missedAfterMs - schedule.jitterMs;
  const isLate = first < cutoff;
  if (!isLate || schedule.missedRuns === "all") return { run: first, isLate, missed: 0, nextDueAt: nextAfter(schedule, first) };
  const missed = countBefore(schedule, first, cutoff);
  if (schedule.missedRuns === "last") {
    const last = lastBefore(schedule, first, cutoff);
    return { run: last, isLate: true, missed: missed - 1, nextDueAt: nextAfter(schedule, last) };
  }
  const fresh = nextAfter(schedule, cutoff - 1);
  const isDue = fresh !== null && runTimeOf(schedule, fresh) <= now;
  return { run: isDue ? fresh : null, isLate: false, missed, nextDueAt: isDue ? nextAfter(schedule, fresh) : fresh };
}

/** The first due time after `after`, in milliseconds; null: never again. */
export function nextAfter(schedule: Pick<Schedule, "trigger">, after: number): number | null {
  const next = schedule.trigger.next(new Date(after))?.getTime();
  // An own trigger that stands still, or goes back, would be due for ever.
  return next === undefined || !(next > after) ? null : next;
}

function firstCounted(schedule: Schedule, { dueAt, notBefore }: ScheduleProgress): number | null {
  if (dueAt === null || notBefore === null || dueAt >= notBefore) return dueAt;
  return nextAfter(schedule, notBefore - 1);
}

function countBefore(schedule: Schedule, first: number, cutoff: number): number {
  let count = 0;
  for (let at: number | null = first; at !== null && at < cutoff && count < MOST_COUNTED; at = nextAfter(schedule, at)) count += 1;
  return count;
}

/** Looks into longer and longer times before the cutoff: after a week away there may be hundreds of thousands to pass. */
function lastBefore(schedule: Schedule, first: number, cutoff: number): number {
  for (let windowMs = MINUTE_MS; ; windowMs *= 8) {
    const start = cutoff - windowMs;
    let last = start <= first ? first : nextAfter(schedule, start - 1);
    if (last === null || last >= cutoff) continue;
    for (let at = nextAfter(schedule, last); at !== null && at < cutoff; at = nextAfter(schedule, at)) last = at;
    return last;
  }
}
