import { OptionsError } from "../errors.ts";
import { type CronFields, parseCron, resolveCron } from "./cron-fields.ts";
import { cronInWords } from "./cron-words.ts";
import { type Change, TimeZone } from "./time-zone.ts";
import type { Trigger } from "./trigger.ts";

export interface CronOptions {
  /** IANA name. Default "UTC": the same everywhere, and never changed. */
  readonly timeZone?: string;
  /** What `#` fields are spread by. */
  readonly seed?: string;
  /** For errors. */
  readonly path?: string;
}

/** Years; the longest that any date lets one wait is 40: a 29th of February on a given weekday, over the year 2100. */
const HORIZON_YEARS = 50;

/**
 * A trigger by cron expression: five fields, or six with seconds first. Names, ranges, lists, steps, `L` (last day),
 * `L-3`, `5L` (last Friday), `5#2` (second Friday), `@daily` and the like, and `#` for a value that is spread by the seed.
 *
 * When the clocks change: with an hour field other than `*` a time that does not exist that day is taken as if they had
 * not been changed (02:30 becomes 03:30), and of a time that exists twice the first is meant, as RFC 5545 has it for
 * calendars. With `*` it is due whenever the clock shows a matching time, so twice in an hour that is repeated.
 *
 * @throws {OptionsError} the expression cannot be read, fits no date, or there is no such time zone.
 */
export function cronTrigger(expression: string, options: CronOptions = {}): Trigger {
  const { timeZone = "UTC", seed = "", path = "cron" } = options;
  if (typeof expression !== "string") throw new OptionsError(path, expression, "must be a cron expression");
  const resolved = resolveCron(expression, seed);
  const fields = parseCron(resolved, path);
  const zone = new TimeZone(timeZone, path.replace(/cron$/, "timeZone"));
  const anyYear = Date.UTC(2024, 0, 1);
  if (nextOnWall(fields, anyYear) === null) throw new OptionsError(path, expression, "must fit a date that exists");
  return {
    next: (after) => {
      const next = nextDue(fields, zone, after.getTime());
      return next === null ? null : new Date(next);
    },
    text: `cron ${resolved}${timeZone === "UTC" ? "" : ` (${timeZone})`}`,
    words: `${cronInWords(fields)} (${timeZone})`,
  };
}

/** Goes from change to change of the clocks: between two of them local time is UTC plus a constant. */
function nextDue(fields: CronFields, zone: TimeZone, after: number): number | null {
  let from = after;
  let change = zone.recentChange(after + 1);
  let offset = zone.offsetAt(after + 1);
  for (;;) {
    const found = candidate(fields, from, offset, change);
    // A change may lie before it, and after that one another time may come first.
    const later = zone.nextChange(from + 1, found ?? from + HORIZON_YEARS * 366 * 86_400_000);
    if (later === undefined) return found;
    from = later.at - 1;
    offset = later.after;
    change = later;
  }
}

/** The first due time after `from`, as if the clocks were never changed again. */
function candidate(fields: CronFields, from: number, offset: number, change: Change | undefined): number | null {
  if (change === undefined || fields.everyHour) return fromWall(nextOnWall(fields, from + offset), offset);
  const jump = change.after - change.before;
  // Set back: what is shown for the second time has been due before.
  const start = jump < 0 ? Math.max(from, change.at - jump - 1) : from;
  const shown = fromWall(nextOnWall(fields, start + offset), offset);
  if (jump < 0) return shown;
  const skipped = fromWall(nextOnWall(fields, from + change.before), change.before);
  const isSkipped = skipped !== null && skipped >= change.at && skipped < change.at + jump;
  return isSkipped && (shown === null || skipped < shown) ? skipped : shown;
}

const fromWall = (wall: number | null, offset: number): number | null => (wall === null ? null : wall - offset);

/** The first matching time after `after`, both read from a clock that is never changed: milliseconds as if it showed UTC. */
function nextOnWall(fields: CronFields, after: number): number | null {
  let at = new Date((Math.floor(after / 1_000) + 1) * 1_000);
  const lastYear = at.getUTCFullYear() + HORIZON_YEARS;
  while (at.getUTCFullYear() <= lastYear) {
    const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
    if (!fields.months.includes(month + 1)) {
      at = new Date(Date.UTC(year, month + 1, 1));
      continue;
    }
    const time = isDue(fields, at) ? timeOfDay(fields, at) : undefined;
    if (time !== undefined) return Date.UTC(year, month, day) + time;
    at = new Date(Date.UTC(year, month, day + 1));
  }
  return null;
}

function isDue(fields: CronFields, at: Date): boolean {
  const day = at.getUTCDate();
  const weekday = at.getUTCDay();
  const lastDay = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0)).getUTCDate();
  const byDay = fields.days.includes(day) || fields.lastDays.includes(lastDay - day);
  const byWeekday =
    fields.weekdays.includes(weekday) ||
    fields.nthWeekdays.some((each) => each.weekday === weekday && each.nth === Math.ceil(day / 7)) ||
    (fields.lastWeekdays.includes(weekday) && day + 7 > lastDay);
  return fields.eitherDay ? byDay || byWeekday : byDay && byWeekday;
}

/** Milliseconds since midnight of the first matching time that is not before `at`'s. */
function timeOfDay({ hours, minutes, seconds }: CronFields, at: Date): number | undefined {
  const [h, m, s] = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()];
  for (const hour of hours) {
    if (hour < h) continue;
    for (const minute of minutes) {
      if (hour === h && minute < m) continue;
      const second = seconds.find((each) => hour > h || minute > m || each >= s);
      if (second !== undefined) return ((hour * 60 + minute) * 60 + second) * 1_000;
    }
  }
  return undefined;
}
