import { OptionsError } from "../errors.ts";
import { spread } from "./stable-hash.ts";

/** A cron expression, taken apart. Lists are sorted and hold each value once. */
export interface CronFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** 1 to 31, beside `lastDays`. */
  readonly days: readonly number[];
  /** Days before the last one of the month: `L` is 0, `L-2` is 2. */
  readonly lastDays: readonly number[];
  /** 1 to 12. */
  readonly months: readonly number[];
  /** 0 (Sunday) to 6, beside the two below. */
  readonly weekdays: readonly number[];
  /** `5#2`: the second Friday of the month. */
  readonly nthWeekdays: readonly { readonly weekday: number; readonly nth: number }[];
  /** `5L`: the last Friday of the month. */
  readonly lastWeekdays: readonly number[];
  /** Day of month and day of week are both restricted: either is enough, as cron has always had it. */
  readonly eitherDay: boolean;
  /** The hour is `*`: it means "all the time", not a time on the wall clock. Matters when the clocks change. */
  readonly everyHour: boolean;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  /** What `#` stands for, when that is less than the whole: every month has a day 28. */
  readonly hashMax?: number;
}

const FIELDS = {
  second: { name: "second", min: 0, max: 59 },
  minute: { name: "minute", min: 0, max: 59 },
  hour: { name: "hour", min: 0, max: 23 },
  day: { name: "day of month", min: 1, max: 31, hashMax: 28 },
  month: { name: "month", min: 1, max: 12, names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] },
  weekday: { name: "day of week", min: 0, max: 7, hashMax: 6, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
} as const satisfies Readonly<Record<string, Field>>;

const ALIASES: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
  "#yearly": "# # # # *",
  "#annually": "# # # # *",
  "#monthly": "# # # * *",
  "#weekly": "# # * * #",
  "#daily": "# # * * *",
  "#hourly": "# * * * *",
  "#midnight": "# #(0-2) * * *",
  "#yearly@midnight": "# #(0-2) # # *",
  "#annually@midnight": "# #(0-2) # # *",
  "#monthly@midnight": "# #(0-2) # * *",
  "#weekly@midnight": "# #(0-2) * * #",
};

/**
 * Puts numbers in the place of aliases and hashed fields; what is left is ordinary cron.
 *
 * @param seed - What the `#` fields are spread by: the schedule's name.
 */
export function resolveCron(expression: string, seed: string): string {
  const given = expression.trim().toLowerCase();
  const parts = (ALIASES[given] ?? given).split(/\s+/);
  const names = parts.length === 6 ? Object.values(FIELDS) : Object.values(FIELDS).slice(1);
  const hashed = (part: string, field: Field | undefined): string => {
    const found = /^#(?:\((\d+)-(\d+)\))?$/.exec(part);
    if (found === null || field === undefined) return part;
    const [min, max] = found[1] === undefined ? [field.min, field.hashMax ?? field.max] : [Number(found[1]), Number(found[2])];
    return min <= max ? String(min + spread(max - min + 1, seed, field.name)) : part;
  };
  return parts.map((part, i) => hashed(part, names[i])).join(" ");
}

/**
 * Parses a cron expression of five fields, or six with seconds first.
 *
 * @param expression - As `resolveCron` gives it.
 * @throws {OptionsError} naming `path` and the field that cannot be read.
 */
export function parseCron(expression: string, path: string): CronFields {
  const parts = expression.trim().split(/\s+/);
  if (parts.length !== 5 && parts.length !== 6)
    throw new OptionsError(path, expression, "must have five fields (minute hour day month weekday), or six with seconds first");
  const [second, minute, hour, day, month, weekday] = (parts.length === 6 ? parts : ["0", ...parts]) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const at = (field: Field): FieldReader => new FieldReader(field, expression, path);
  const ofDay = at(FIELDS.day).read(day, LAST_DAY);
  const ofWeekday = at(FIELDS.weekday).read(weekday, NTH_OR_LAST_WEEKDAY);
  const special = ofWeekday.special.map((groups) => ({ weekday: weekdayOf(groups[0]), nth: groups[1] }));
  return {
    seconds: at(FIELDS.second).read(second).values,
    minutes: at(FIELDS.minute).read(minute).values,
    hours: at(FIELDS.hour).read(hour).values,
    days: ofDay.values,
    lastDays: ofDay.special.map(([before]) => Number(before ?? 0)),
    months: at(FIELDS.month).read(month).values,
    weekdays: unique(ofWeekday.values.map((value) => value % 7)),
    nthWeekdays: special.flatMap(({ weekday: on, nth }) => (nth === undefined ? [] : [{ weekday: on, nth: Number(nth) }])),
    lastWeekdays: special.flatMap(({ weekday: on, nth }) => (nth === undefined ? [on] : [])),
    eitherDay: isRestricted(day) && isRestricted(weekday),
    everyHour: hour === "*",
  };
}

const LAST_DAY = /^l(?:-([1-9]|[12]\d|30))?$/;
const NTH_OR_LAST_WEEKDAY = /^([0-7]|sun|mon|tue|wed|thu|fri|sat)(?:l|#([1-5]))$/;

const isRestricted = (part: string): boolean => !/^[*?]/.test(part);
const unique = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

function weekdayOf(word: string | undefined): number {
  const index = FIELDS.weekday.names.indexOf((word ?? "") as "sun");
  return (index >= 0 ? index : Number(word)) % 7;
}

/** Reads one field: lists of values, names, ranges and steps. */
class FieldReader {
  readonly #field: Field;
  readonly #expression: string;
  readonly #path: string;

  constructor(field: Field, expression: string, path: string) {
    this.#field = field;
    this.#expression = expression;
    this.#path = path;
  }

  /** @param special - Items of another form, which this field may have; they come back as the groups of the pattern. */
  read(part: string, special?: RegExp): { values: number[]; special: (string | undefined)[][] } {
    const values: number[] = [];
    const found: (string | undefined)[][] = [];
    for (const item of part.split(",")) {
      const match = special?.exec(item);
      if (match != null) found.push(match.slice(1));
      else values.push(...this.#item(item));
    }
    return { values: unique(values), special: found };
  }

  #item(item: string): number[] {
    const { min, max } = this.#field;
    const [, range = "", step] = /^([^/]+)(?:\/(\d+))?$/.exec(item) ?? [];
    if (range === "") throw this.#error(`"${item}" cannot be read`);
    const every = step === undefined ? 1 : Number(step);
    if (every < 1 || every > max) throw this.#error(`the step of "${item}" must be from 1 to ${max}`);
    const [first, last] = this.#range(range, step !== undefined);
    if (first > last) throw this.#error(`"${range}" ends before it begins`);
    const values: number[] = [];
    for (let value = first; value <= last; value += every) if (value >= min) values.push(value);
    return values;
  }

  #range(range: string, hasStep: boolean): [number, number] {
    // A week of seven days: 7 is another word for Sunday.
    const top = this.#field === FIELDS.weekday ? 6 : this.#field.max;
    const isDay = this.#field === FIELDS.day || this.#field === FIELDS.weekday;
    if (range === "*" || (range === "?" && isDay)) return [this.#field.min, top];
    const [from = "", to, ...more] = range.split("-");
    if (more.length > 0) throw this.#error(`"${range}" cannot be read`);
    const first = this.#value(from);
    return [first, to === undefined ? (hasStep ? top : first) : this.#value(to)];
  }

  #value(word: string): number {
    const { min, max, names } = this.#field;
    const index = names?.indexOf(word) ?? -1;
    const value = index >= 0 ? index + min : /^\d+$/.test(word) ? Number(word) : Number.NaN;
    if (!(value >= min && value <= max)) throw this.#error(`"${word}" is not from ${min} to ${max}`);
    return value;
  }

  #error(what: string): OptionsError {
    return new OptionsError(this.#path, this.#expression, `must be a cron expression: in the field ${this.#field.name}, ${what}`);
  }
}
