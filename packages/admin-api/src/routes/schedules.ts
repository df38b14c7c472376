import {
  findSchedule,
  listSchedules,
  type Messenger,
  MessengerError,
  pauseSchedule,
  type Runtime,
  removeSchedule,
  runSchedule,
} from "@symphony/core";
import { z } from "zod";
import { isLimited, mayTouch } from "../auth/queue-limit.ts";
import { inTime } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, name, queryInteger, success, timestamp } from "./fields.ts";

const scheduleSchema = z.strictObject({
  name: z.string(),
  transport: z.string(),
  type: z.string(),
  trigger: z.string(),
  triggerInWords: z.string(),
  status: z.enum(["waiting", "paused", "overdue", "failing", "ended", "new"]),
  isConfigured: z.boolean().meta({ description: "The configuration of this server has it; if not, another build or nobody has." }),
  nextRunAt: timestamp.nullable(),
  nextRunsAt: z.array(timestamp),
  lastDueAt: timestamp.nullable(),
  lastRunAt: timestamp.nullable(),
  lastMessageId: z.string().nullable(),
  runs: count,
  missed: count,
  lastError: z.string().nullable(),
  overdueMs: count.meta({ description: "By so much the next run is late; 0 while it is in time." }),
});

const params = z.strictObject({ name });
const target = { success, schedule: z.string(), transport: z.string() };

interface Services {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
}

export const scheduleEndpoints = (services: Services) => ({
  schedules: schedules(services),
  runSchedule: run(services),
  pauseSchedule: setPaused(services, true),
  resumeSchedule: setPaused(services, false),
  removeSchedule: remove(services),
});

const schedules = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "List the schedules of all transports, with what is due next and what was missed",
    query: z.strictObject({ next: queryInteger({ min: 1, max: 100, default: 1 }) }),
    answers: { 200: z.strictObject({ success, schedules: z.array(scheduleSchema), timestamp }) },
    async handle({ query }, caller) {
      const found = await inTime(runtime.clock, listSchedules(reader, { nextRuns: query.next }));
      const rows = found
        .filter((view) => mayTouch(caller, queueOf(reader, view)))
        .map((view) => ({ ...view, nextRunsAt: [...view.nextRunsAt], overdueMs: Math.round(view.overdueMs) }));
      return { status: 200, body: { success: true, schedules: rows, timestamp: new Date(runtime.clock.now()).toISOString() } };
    },
  });

const run = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Dispatch the message of a schedule now, beside its due times; this server makes the payload",
    params,
    answers: { 201: z.strictObject({ ...target, messageId: z.string() }) },
    problems: [404, 422],
    action: "schedule.run",
    async handle({ params: { name: schedule } }, caller) {
      const transport = await carryOut(messenger, schedule, caller, async () => (await runSchedule(messenger, schedule)).messageId);
      return { status: 201, body: { success: true, schedule, transport: transport.name, messageId: transport.value } };
    },
  });

const setPaused = ({ messenger }: Services, paused: boolean): AnyEndpoint =>
  endpoint({
    summary: paused ? "Dispatch nothing for a schedule, in the whole fleet" : "End a pause; what was due in between is left out",
    params,
    answers: { 200: z.strictObject({ ...target, paused: z.boolean() }) },
    problems: [404, 422],
    action: paused ? "schedule.pause" : "schedule.resume",
    async handle({ params: { name: schedule } }, caller) {
      const transport = await carryOut(messenger, schedule, caller, () => pauseSchedule(messenger, schedule, paused));
      return { status: 200, body: { success: true, schedule, transport: transport.name, paused } };
    },
  });

const remove = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Forget a schedule that no configuration has any more; one that a worker still has comes back",
    params,
    answers: { 200: z.strictObject(target) },
    problems: [404, 422],
    action: "schedule.remove",
    async handle({ params: { name: schedule } }, caller) {
      const transport = await carryOut(messenger, schedule, caller, () => removeSchedule(messenger, schedule));
      return { status: 200, body: { success: true, schedule, transport: transport.name } };
    },
  });

/** Where its messages go; undefined when only another build knows. */
function queueOf(
  { config, registry }: Messenger,
  { name: schedule, type }: { readonly name: string; readonly type: string },
): string | undefined {
  const configured = config.schedules.find((each) => each.name === schedule);
  return configured?.dispatch.queue ?? configured?.message.queue ?? registry.get(type)?.queue;
}

async function assertOwn(messenger: Messenger, schedule: string, caller: Caller): Promise<void> {
  if (!isLimited(caller)) return;
  const view = (await listSchedules(messenger)).find((each) => each.name === schedule);
  if (view === undefined || !mayTouch(caller, queueOf(messenger, view)))
    throw new MessengerError("SCHEDULE_NOT_FOUND", `this token knows no schedule "${schedule}"`, { details: { schedule } });
}

/** With a record of it, in the transport that keeps the schedule. */
async function carryOut<T>(
  messenger: Messenger,
  schedule: string,
  caller: Caller,
  work: () => Promise<T>,
): Promise<{ name: string; value: T }> {
  await assertOwn(messenger, schedule, caller);
  const { transport } = await findSchedule(messenger, schedule);
  const value = await caller.action.carryOut([transport, messenger.transport(transport)], { target: schedule }, async () => ({
    value: await work(),
    count: 0,
  }));
  return { name: transport, value };
}
