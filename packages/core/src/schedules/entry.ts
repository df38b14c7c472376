import { nextAfter } from "./due.ts";
import { runTimeOf, type Schedule } from "./schedule.ts";
import type { ScheduleEntry, ScheduleState } from "./store.ts";

/** What is to be stored of a schedule. The due time is kept while the definition is the same; a new one counts from now. */
export function entryOf(schedule: Schedule, now: number, before?: ScheduleState): ScheduleEntry {
  const { name, definition, text, message, missedAfterMs } = schedule;
  const dueAt = before?.definition === definition ? before.dueAt : nextAfter(schedule, now);
  return { name, definition, text, type: message.name, missedAfterMs, dueAt, runAt: dueAt === null ? null : runTimeOf(schedule, dueAt) };
}

/** Whether the store has it as it is here. */
export const isCurrent = (state: ScheduleState, schedule: Schedule): boolean =>
  state.definition === schedule.definition && state.type === schedule.message.name && state.missedAfterMs === schedule.missedAfterMs;
