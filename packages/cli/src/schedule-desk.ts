import { findSchedule, listSchedules, type Messenger, pauseSchedule, removeSchedule, runSchedule, type ScheduleView } from "@symphony/core";
import { audited } from "./audited.ts";

/** What operators do with schedules; each action is on record. */
export interface ScheduleDesk {
  list(nextRuns: number): Promise<readonly ScheduleView[]>;
  /** Dispatches the message of a schedule now. */
  run(name: string): Promise<{ readonly transport: string; readonly messageId: string }>;
  setPaused(name: string, paused: boolean): Promise<{ readonly transport: string }>;
  remove(name: string): Promise<{ readonly transport: string }>;
}

/** A messenger that has its schedules elsewhere. */
export interface WithScheduleDesk {
  readonly scheduleDesk: ScheduleDesk;
}

/** The schedules of a messenger: those of its configuration and its transports, or of the admin API that it works through. */
export function scheduleDeskOf(messenger: Messenger & Partial<WithScheduleDesk>): ScheduleDesk {
  if (messenger.scheduleDesk !== undefined) return messenger.scheduleDesk;
  const recorded = async <T extends object>(action: string, name: string, work: () => Promise<T>) => {
    const { transport } = await findSchedule(messenger, name);
    const about = { action: `schedule.${action}`, target: name, parameters: {} };
    const value = await audited(messenger.transport(transport), about, async () => ({ value: await work(), count: 0 }));
    return { ...value, transport };
  };
  return {
    list: (nextRuns) => listSchedules(messenger, { nextRuns }),
    run: (name) => recorded("run", name, () => runSchedule(messenger, name)),
    setPaused: (name, paused) => recorded(paused ? "pause" : "resume", name, () => pauseSchedule(messenger, name, paused)),
    remove: (name) => recorded("remove", name, () => removeSchedule(messenger, name)),
  };
}
