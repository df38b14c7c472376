import { MessengerError, TransportError } from "../errors.ts";
import type { Messenger } from "../messenger.ts";
import { dispatchRun, makePayload } from "./dispatch-run.ts";
import { nextAfter } from "./due.ts";
import { entryOf } from "./entry.ts";
import { transportOf } from "./placement.ts";
import { runTimeOf, type Schedule, type ScheduleRun } from "./schedule.ts";
import { isSchedulable, overdueMs, type ScheduleState, type ScheduleStore } from "./store.ts";

/**
 * `new`: no worker has seen it yet. `ended`: it is never due again. `overdue`: it should have run, and nobody did it.
 * `failing`: its last attempt dispatched nothing.
 */
export type ScheduleStatus = "waiting" | "paused" | "overdue" | "failing" | "ended" | "new";

/** A schedule as people see it; times are RFC 3339. */
export interface ScheduleView {
  readonly name: string;
  readonly transport: string;
  readonly type: string;
  /** What the trigger does: `cron 0 3 * * * (Europe/Berlin)`. */
  readonly trigger: string;
  /** The same for people, `at 03:00 every day (Europe/Berlin)`, where the configuration has it. */
  readonly triggerInWords: string;
  readonly status: ScheduleStatus;
  /** This program's configuration has it; without it, only another build or a removed schedule can be behind it. */
  readonly isConfigured: boolean;
  /** When it is dispatched next, jitter included; the first of `nextRunsAt`. */
  readonly nextRunAt: string | null;
  /** As far as this program can tell: as many as were asked for, or only the first. */
  readonly nextRunsAt: readonly string[];
  readonly lastDueAt: string | null;
  readonly lastRunAt: string | null;
  readonly lastMessageId: string | null;
  readonly runs: number;
  readonly missed: number;
  readonly lastError: string | null;
  /** Milliseconds by which the next run is late, 0 while it is in time. */
  readonly overdueMs: number;
}

/**
 * Where a schedule is at home: by the configuration, or else where it is known.
 *
 * @throws {MessengerError} `SCHEDULE_NOT_FOUND`
 */
export async function findSchedule(messenger: Messenger, name: string): Promise<{ readonly transport: string }> {
  const configured = messenger.config.schedules.find((each) => each.name === name);
  if (configured !== undefined) return { transport: transportOf(messenger, configured) };
  for (const [transport, store] of storesOf(messenger)) {
    if ((await store.list()).schedules.some((state) => state.name === name)) return { transport };
  }
  throw notFound(name, "the configuration, nor in any transport");
}

/** All schedules: those of the configuration, and those that transports know beside it. By name. */
export async function listSchedules(messenger: Messenger, options: { readonly nextRuns?: number } = {}): Promise<readonly ScheduleView[]> {
  const { nextRuns = 1 } = options;
  const configured = messenger.config.schedules.map((schedule) => ({ schedule, transport: transportOf(messenger, schedule) }));
  const views: ScheduleView[] = [];
  for (const [transport, store] of storesOf(messenger)) {
    const { now, schedules: states } = await store.list();
    const here = configured.filter((each) => each.transport === transport).map((each) => each.schedule);
    for (const schedule of here) {
      const state = states.find(({ name }) => name === schedule.name);
      views.push(viewOf(transport, schedule, state, now, nextRuns));
    }
    const unknown = states.filter(({ name }) => !here.some((schedule) => schedule.name === name));
    views.push(...unknown.map((state) => viewOf(transport, undefined, state, now, nextRuns)));
  }
  return views.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Dispatches the message of a schedule now, beside its due times and also while it is paused. The payload is made here.
 *
 * @throws {MessengerError} `SCHEDULE_NOT_FOUND` the configuration has no schedule of this name.
 */
export async function runSchedule(messenger: Messenger, name: string): Promise<{ readonly messageId: string; readonly transport: string }> {
  const schedule = messenger.config.schedules.find((each) => each.name === name);
  if (schedule === undefined) throw notFound(name, "the configuration");
  const transport = transportOf(messenger, schedule);
  const store = storesOf(messenger).find(([of]) => of === transport)?.[1];
  const run: ScheduleRun = { schedule: name, dueAt: new Date(messenger.runtime.clock.now()), isManual: true };
  const payload = await makePayload(messenger, schedule, run).catch((error: unknown) => noPayload(name, error));
  const dispatch = (client: unknown): Promise<string> => dispatchRun(messenger, { schedule, transport, run, payload, client });
  // Somebody may run or change it at the same moment; nobody does so ten times in a row.
  for (let tries = 0; tries < 10; tries++) {
    const state = (await store?.list())?.schedules.find((each) => each.name === name);
    if (store === undefined || state === undefined) return { messageId: await dispatch(undefined), transport };
    let messageId = "";
    const { revision, dueAt, runAt } = state;
    const done = await store.advance({ name, revision, dueAt, runAt, ranDueAt: null }, async (client) => {
      messageId = await dispatch(client);
      return messageId;
    });
    if (done) return { messageId, transport };
  }
  throw new MessengerError("SCHEDULE_FAILED", `the schedule "${name}" was changed by others again and again`);
}

/** Stops a schedule for the whole fleet, or lets it go on; what was due in between is left out. Takes effect at once. */
export async function pauseSchedule(messenger: Messenger, name: string, paused: boolean): Promise<{ readonly transport: string }> {
  const schedule = messenger.config.schedules.find((each) => each.name === name);
  const home = schedule === undefined ? undefined : transportOf(messenger, schedule);
  return everywhere(messenger, name, async (store, transport) => {
    if (await store.setPaused(name, paused)) return true;
    if (schedule === undefined || transport !== home) return false;
    // No worker has seen it yet; the pause is there before the first one does.
    await store.put(entryOf(schedule, (await store.list()).now), null);
    return store.setPaused(name, paused);
  });
}

/** Forgets a schedule that no configuration has any more. One that a worker still has comes back. */
export async function removeSchedule(messenger: Messenger, name: string): Promise<{ readonly transport: string }> {
  return everywhere(messenger, name, (store) => store.remove(name));
}

async function everywhere(
  messenger: Messenger,
  name: string,
  act: (store: ScheduleStore, transport: string) => Promise<boolean>,
): Promise<{ transport: string }> {
  const stores = storesOf(messenger);
  if (stores.length === 0) throw new TransportError("CAPABILITY_MISSING", "no transport here can keep schedules");
  for (const [transport, store] of stores) if (await act(store, transport)) return { transport };
  throw notFound(name, "the configuration, nor in any transport");
}

function noPayload(name: string, cause: unknown): never {
  if (cause instanceof MessengerError) throw cause;
  throw new MessengerError("SCHEDULE_FAILED", `the payload of the schedule "${name}" cannot be made: ${String(cause)}`, { cause });
}

const notFound = (name: string, where: string): MessengerError =>
  new MessengerError("SCHEDULE_NOT_FOUND", `there is no schedule "${name}" in ${where}`, { details: { schedule: name } });

const storesOf = (messenger: Messenger): (readonly [string, ScheduleStore])[] =>
  messenger.transportNames.flatMap((name) => {
    const transport = messenger.transport(name);
    return isSchedulable(transport) ? [[name, transport.schedules] as const] : [];
  });

function viewOf(
  transport: string,
  schedule: Schedule | undefined,
  state: ScheduleState | undefined,
  now: number,
  nextRuns: number,
): ScheduleView {
  const next = nextRunsOf(schedule, state, now, nextRuns);
  const late = state === undefined ? 0 : overdueMs(state, now);
  return {
    name: schedule?.name ?? state?.name ?? "",
    transport,
    type: schedule?.message.name ?? state?.type ?? "",
    trigger: schedule?.text ?? state?.text ?? "",
    triggerInWords: schedule?.words ?? state?.text ?? "",
    status: statusOf(state, late, next),
    isConfigured: schedule !== undefined,
    nextRunAt: iso(next[0] ?? null),
    nextRunsAt: next.map((at) => new Date(at).toISOString()),
    lastDueAt: iso(state?.lastDueAt ?? null),
    lastRunAt: iso(state?.lastRunAt ?? null),
    lastMessageId: state?.lastMessageId ?? null,
    runs: state?.runs ?? 0,
    missed: state?.missed ?? 0,
    lastError: state?.lastError ?? null,
    overdueMs: late,
  };
}

function statusOf(state: ScheduleState | undefined, late: number, next: readonly number[]): ScheduleStatus {
  if (state === undefined) return "new";
  if (state.pausedAt !== null) return "paused";
  if (late > 0) return "overdue";
  if (state.lastError !== null) return "failing";
  return next.length === 0 ? "ended" : "waiting";
}

function nextRunsOf(schedule: Schedule | undefined, state: ScheduleState | undefined, now: number, count: number): readonly number[] {
  if (state?.pausedAt != null) return [];
  // Just resumed, it may still name a time within its pause.
  const counts = state !== undefined && (state.dueAt ?? 0) >= (state.notBefore ?? 0);
  const isSame = state?.definition === schedule?.definition;
  if (schedule === undefined) return state?.runAt == null ? [] : [state.runAt];
  let dueAt = isSame && counts ? state.dueAt : nextAfter(schedule, now);
  const runs: number[] = [];
  for (; dueAt !== null && runs.length < count; dueAt = nextAfter(schedule, dueAt)) runs.push(runTimeOf(schedule, dueAt));
  return runs;
}

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
