import type { EventEmitter } from "node:events";
import { toErrorRecord } from "../error-record.ts";
import type { ScheduleEvents } from "../events.ts";
import type { Logger } from "../logger.ts";
import type { Meter } from "../telemetry/meter.ts";
import { ATTRIBUTES, METRICS, type MetricDefinition } from "../telemetry/names.ts";
import type { Schedule, ScheduleRun } from "./schedule.ts";

/** What schedules tell the world: events, log lines, metrics, the functions of a schedule. Nothing here changes what they do. */
export class ScheduleReport {
  readonly #emitter: EventEmitter<ScheduleEvents>;
  readonly #logger: Logger;
  readonly #meter: Meter;

  constructor(o: { emitter: EventEmitter<ScheduleEvents>; logger: Logger; meter: Meter }) {
    this.#emitter = o.emitter;
    this.#logger = o.logger;
    this.#meter = o.meter;
  }

  /** @param lateMs - After the time at which it was to be dispatched. */
  dispatched(schedule: Schedule, run: ScheduleRun, messageId: string, lateMs: number): void {
    this.#count(METRICS.scheduleRuns, schedule, 1);
    this.#logger.debug({ ...fieldsOf(run), message_id: messageId }, "dispatched a scheduled message");
    this.#call(() => schedule.afterRun?.(run, messageId));
    this.#call(() => this.#emitter.emit("schedule_run", { ...run, messageId, lateMs }));
  }

  leftOut(run: ScheduleRun): void {
    this.#call(() => this.#emitter.emit("schedule_left_out", run));
  }

  missed(schedule: Schedule, missed: { readonly firstDueAt: Date; readonly count: number; readonly isDispatched: boolean }): void {
    this.#count(METRICS.scheduleMissed, schedule, missed.count);
    const fields = {
      schedule: schedule.name,
      first_due_at: missed.firstDueAt.toISOString(),
      count: missed.count,
      policy: schedule.missedRuns,
    };
    this.#logger.warn(fields, "due times of a schedule were missed");
    this.#call(() => this.#emitter.emit("schedule_missed", { schedule: schedule.name, ...missed }));
  }

  failed(schedule: Schedule, run: ScheduleRun, error: unknown): void {
    this.#count(METRICS.scheduleFailures, schedule, 1);
    const record = toErrorRecord(error);
    this.#logger.error({ ...fieldsOf(run), err: record }, "a schedule could not dispatch its message");
    this.#call(() => schedule.onFailure?.(run, error));
    this.#call(() => this.#emitter.emit("schedule_failed", { ...run, error: record }));
  }

  #count(metric: MetricDefinition, schedule: Schedule, by: number): void {
    this.#meter.counter(metric, { [ATTRIBUTES.schedule]: schedule.name }).add(by);
  }

  /** What listeners throw is their own affair. */
  #call(listener: () => unknown): void {
    try {
      listener();
    } catch (error) {
      this.#logger.error({ err: toErrorRecord(error) }, "a listener of schedules threw");
    }
  }
}

const fieldsOf = (run: ScheduleRun): object => ({ schedule: run.schedule, due_at: run.dueAt.toISOString() });
