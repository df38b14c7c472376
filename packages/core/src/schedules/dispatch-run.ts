import { MessengerError } from "../errors.ts";
import type { Messenger } from "../messenger.ts";
import type { Schedule, ScheduleRun } from "./schedule.ts";

/** Headers of a scheduled message: the schedule's name, and the due time as RFC 3339. */
export const SCHEDULE_HEADER = "symphony-schedule";
export const DUE_AT_HEADER = "symphony-due-at";

/** Milliseconds for making a payload; a function that hangs must not look as if it worked. */
const PAYLOAD_MS = 30_000;

/** Calls the schedule's function, before any transaction: what it waits for must not hold a connection. */
export async function makePayload(messenger: Messenger, schedule: Schedule, run: ScheduleRun): Promise<unknown> {
  const late = Promise.withResolvers<never>();
  const timer = messenger.runtime.clock.schedule(
    PAYLOAD_MS,
    () =>
      late.reject(
        new MessengerError("SCHEDULE_FAILED", `the payload of the schedule "${schedule.name}" took longer than ${PAYLOAD_MS} ms`),
      ),
    { unref: true },
  );
  try {
    return await Promise.race([schedule.payload(run), late.promise]);
  } finally {
    timer.cancel();
  }
}

/** Dispatches the message of one due time; resolves with its id. */
export async function dispatchRun(
  messenger: Messenger,
  o: {
    readonly schedule: Schedule;
    readonly transport: string;
    readonly run: ScheduleRun;
    readonly payload: unknown;
    readonly client: unknown;
  },
): Promise<string> {
  const { schedule, transport, run, payload, client } = o;
  const headers = { ...schedule.dispatch.headers, [SCHEDULE_HEADER]: schedule.name, [DUE_AT_HEADER]: run.dueAt.toISOString() };
  const { messageId } = await messenger.dispatch(schedule.message, payload, {
    ...schedule.dispatch,
    headers,
    transport,
    ...(client === undefined ? {} : { transaction: client }),
  });
  return messageId;
}
