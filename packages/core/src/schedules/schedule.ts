import type { DispatchOptions } from "../dispatch-options.ts";
import { ConfigError, OptionsError } from "../errors.ts";
import { type AnyMessageType, type MessageType, NAME_PATTERN } from "../message.ts";
import { anything, func, integer, object, oneOf, optional, parseOptions, record, string } from "../options.ts";
import { cronTrigger } from "./cron.ts";
import { everyTrigger } from "./every.ts";
import { fingerprintOf, spread } from "./stable-hash.ts";
import { TimeZone } from "./time-zone.ts";
import { excluding, onDays, type Trigger, within } from "./trigger.ts";

/** What to do with due times that passed while nobody ran the schedule: dispatch each, only the last of them, or none. */
export type MissedRuns = "all" | "last" | "none";

/** One due time of a schedule. */
export interface ScheduleRun {
  readonly schedule: string;
  /** The time that the trigger named; the message may be dispatched later, by the jitter or since nobody was there. */
  readonly dueAt: Date;
  /** Somebody asked for it: it is beside the due times of the trigger. */
  readonly isManual: boolean;
}

export interface ScheduleOptions<Input> {
  readonly message: MessageType<Input, unknown>;
  /**
   * What is dispatched, or a function that makes it when the time has come. A function may be called again for the same
   * due time when a process ends in between; its result is dispatched once. It has 30 s. Default: null.
   */
  readonly payload?: NoInfer<Input> | ((run: ScheduleRun) => NoInfer<Input> | Promise<NoInfer<Input>>);
  /** `minute hour day month weekday`, seconds first if there are six fields; `#` for a value spread by the schedule's name. */
  readonly cron?: string;
  /** Milliseconds, or words such as "10 minutes". Counted from `from`, or from whole multiples since 1970. */
  readonly every?: number | string;
  /** An own one: a function of the last due time, or an object that can also say what it does. */
  readonly trigger?: Trigger | ((after: Date) => Date | null);
  /** Of `cron` and of the days of `exclude`. IANA name. Default "UTC". */
  readonly timeZone?: string;
  /** Each run is later than its due time by 0 to this many milliseconds, always the same for one due time. Default 0. */
  readonly jitterMs?: number;
  /** Days (`2026-12-25`) or due times that are left out. */
  readonly exclude?: readonly string[] | ((at: Date) => boolean);
  /** Default "last". */
  readonly missedRuns?: MissedRuns;
  /** Milliseconds after which a due time counts as missed, 1000 or more. Default 60000: a deploy or a failover is no miss. */
  readonly missedAfterMs?: number;
  /** Not before this time; Date or RFC 3339. */
  readonly from?: Date | string;
  /** Only before this time; Date or RFC 3339. */
  readonly until?: Date | string;
  readonly queue?: string;
  readonly priority?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Where the message goes, and where the state of the schedule is kept. Default: by the routing. */
  readonly transport?: string;
  /** Asked before each run; false leaves this one out. May be asked again for the same due time. */
  readonly beforeRun?: (run: ScheduleRun) => boolean | Promise<boolean>;
  /** Told after the message was dispatched. */
  readonly afterRun?: (run: ScheduleRun, messageId: string) => void;
  /** Told when the payload could not be made or dispatched; it is tried again within seconds. */
  readonly onFailure?: (run: ScheduleRun, error: unknown) => void;
}

/** A recurring message; made by `defineSchedule`. */
export interface Schedule {
  readonly name: string;
  readonly message: AnyMessageType;
  readonly trigger: Trigger;
  /** What the trigger does, for lists, and for people. */
  readonly text: string;
  readonly words: string;
  /** Changes when the due times do. */
  readonly definition: string;
  readonly jitterMs: number;
  readonly missedRuns: MissedRuns;
  readonly missedAfterMs: number;
  readonly dispatch: Pick<DispatchOptions, "queue" | "priority" | "headers" | "metadata" | "transport">;
  readonly payload: (run: ScheduleRun) => unknown;
  readonly beforeRun?: (run: ScheduleRun) => boolean | Promise<boolean>;
  readonly afterRun?: (run: ScheduleRun, messageId: string) => void;
  readonly onFailure?: (run: ScheduleRun, error: unknown) => void;
}

const DAY_MS = 86_400_000;
const DEFAULT_MISSED_AFTER_MS = 60_000;

const time = {
  parse(value: unknown, path: string): Date {
    const at = value instanceof Date ? value : new Date(typeof value === "string" ? value : Number.NaN);
    const isZoned = value instanceof Date || /(Z|[+-]\d\d:\d\d)$/i.test(String(value));
    if (Number.isNaN(at.getTime()) || !isZoned) throw new OptionsError(path, value, "must be a Date, or RFC 3339 with a zone");
    return at;
  },
};

const days = {
  parse(value: unknown, path: string): readonly string[] | ((at: Date) => boolean) {
    if (typeof value === "function") return value as (at: Date) => boolean;
    const isDay = (day: unknown): boolean => typeof day === "string" && /^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day));
    if (Array.isArray(value) && value.every(isDay)) return Object.freeze([...value]) as readonly string[];
    throw new OptionsError(path, value, "must be a list of days such as 2026-12-25, or a function of a time");
  },
};

const schema = object({
  message: {
    parse(value: unknown, path: string): AnyMessageType {
      if (typeof (value as AnyMessageType | null)?.name === "string") return value as AnyMessageType;
      throw new OptionsError(path, value, "must come from defineMessage");
    },
  },
  payload: anything<unknown>(),
  cron: optional(string()),
  every: optional(anything<number | string>()),
  trigger: optional(anything<unknown>()),
  timeZone: string({ default: "UTC" }),
  jitterMs: integer({ min: 0, max: DAY_MS, default: 0 }),
  exclude: optional(days),
  missedRuns: oneOf(["all", "last", "none"], { default: "last" }),
  missedAfterMs: integer({ min: 1_000, max: 366 * DAY_MS, default: DEFAULT_MISSED_AFTER_MS }),
  from: optional(time),
  until: optional(time),
  queue: optional(string({ pattern: NAME_PATTERN })),
  priority: optional(integer({ min: 1, max: 10 })),
  headers: optional(record(string())),
  metadata: optional(record(anything<unknown>())),
  transport: optional(string()),
  beforeRun: optional(func<(run: ScheduleRun) => boolean | Promise<boolean>>()),
  afterRun: optional(func<(run: ScheduleRun, messageId: string) => void>()),
  onFailure: optional(func<(run: ScheduleRun, error: unknown) => void>()),
});

type ParsedOptions = ReturnType<(typeof schema)["parse"]>;

/**
 * Declares a recurring message. It runs in any worker process whose configuration lists it under `schedules`; however
 * many do, each due time is dispatched once.
 *
 * @param name - Stable and unique: its state is kept under this name. `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`.
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 * @example
 * export const cleanUp = defineSchedule("clean-up", { cron: "30 3 * * *", timeZone: "Europe/Berlin", message: CleanUp, payload: {} });
 */
export function defineSchedule<Input>(name: string, options: ScheduleOptions<Input>): Schedule {
  if (typeof name !== "string" || !NAME_PATTERN.test(name))
    throw new OptionsError("schedule name", name, `must match ${NAME_PATTERN.source}`);
  const path = `schedule "${name}"`;
  const o = parseOptions(schema, options, path);
  const trigger = triggerOf(name, o, path);
  const { queue, priority, headers, metadata, transport } = o;
  const jitter = o.jitterMs === 0 ? "" : ` + 0-${o.jitterMs} ms`;
  const text = `${trigger.text}${jitter}`;
  return Object.freeze({
    name,
    message: o.message,
    trigger,
    text,
    words: `${trigger.words ?? trigger.text}${jitter}`,
    definition: fingerprintOf(text),
    jitterMs: o.jitterMs,
    missedRuns: o.missedRuns,
    missedAfterMs: o.missedAfterMs,
    dispatch: Object.freeze(present({ queue, priority, headers, metadata, transport })),
    payload: payloadOf(options.payload),
    ...present({ beforeRun: o.beforeRun, afterRun: o.afterRun, onFailure: o.onFailure }),
  });
}

/** When the message of a due time is dispatched, in milliseconds since 1970. */
export function runTimeOf(schedule: Pick<Schedule, "name" | "jitterMs">, dueAt: number): number {
  return schedule.jitterMs === 0 ? dueAt : dueAt + spread(schedule.jitterMs + 1, schedule.name, String(dueAt));
}

/** @throws {ConfigError} `CONFIG_INVALID`, when two have one name. */
export function assertDistinct(schedules: readonly Schedule[]): void {
  const names = new Set<string>();
  for (const { name } of schedules) {
    if (names.has(name)) throw new ConfigError(`two schedules have the name "${name}": rename one`, { name });
    names.add(name);
  }
}

/** One of `config.schedules`. */
export const scheduleParser = {
  parse(value: unknown, path: string): Schedule {
    if (typeof (value as Schedule | null)?.trigger?.next !== "function" || typeof (value as Schedule).definition !== "string")
      throw new OptionsError(path, value, "must come from defineSchedule");
    return value as Schedule;
  },
};

function triggerOf(name: string, o: ParsedOptions, path: string): Trigger {
  const given = [o.cron, o.every, o.trigger].filter((each) => each !== undefined);
  if (given.length !== 1) throw new OptionsError(path, given, "must have exactly one of cron, every and trigger");
  const zone = new TimeZone(o.timeZone, `${path}.timeZone`);
  const base = (): Trigger => {
    if (o.cron !== undefined) return cronTrigger(o.cron, { timeZone: o.timeZone, seed: name, path: `${path}.cron` });
    if (o.every !== undefined) return everyTrigger(o.every, o.from, `${path}.every`);
    return ownTrigger(o.trigger, `${path}.trigger`);
  };
  const bounded = within(base(), o.from, o.until);
  if (o.exclude === undefined) return bounded;
  if (typeof o.exclude === "function") return excluding(bounded, o.exclude, "except by a function");
  return excluding(bounded, onDays(o.exclude, zone), `except ${o.exclude.join(", ")}`);
}

function ownTrigger(given: unknown, path: string): Trigger {
  if (typeof given === "function") return { next: given as Trigger["next"], text: `own trigger ${given.name || "function"}` };
  const { next, text } = (given ?? {}) as Partial<Trigger>;
  if (typeof next === "function" && typeof text === "string") return given as Trigger;
  throw new OptionsError(path, given, "must be a function of a time, or have next() and text");
}

const payloadOf = (payload: unknown): Schedule["payload"] =>
  typeof payload === "function" ? (payload as Schedule["payload"]) : () => payload ?? null;

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const present = <T extends object>(values: T): Present<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
