import type { CronFields } from "./cron-fields.ts";

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const NTH = ["first", "second", "third", "fourth", "fifth"];
/** More times of the day than a person reads one by one. */
const MOST_TIMES = 6;

/** What a cron expression means, in words: `at 06:30 from Monday to Friday`. */
export function cronInWords(fields: CronFields): string {
  return [timesOf(fields), daysOf(fields), monthsOf(fields)].filter((part) => part !== "").join(" ");
}

/** Times that are named one by one. */
const areFew = ({ seconds, minutes, hours }: CronFields): boolean =>
  hours.length < 24 && hours.length * minutes.length * seconds.length <= MOST_TIMES;

function timesOf(fields: CronFields): string {
  const { seconds, minutes, hours } = fields;
  if (areFew(fields)) {
    const all = hours.flatMap((h) =>
      minutes.flatMap((m) => seconds.map((s) => clock(h, m, seconds.length === 1 && s === 0 ? undefined : s))),
    );
    return `at ${list(all)}`;
  }
  const within = hours.length === 24 ? "" : `in the ${hours.length === 1 ? "hour" : "hours"} ${runs(hours, String)}`;
  return join(unitOf(seconds, minutes), within);
}

function unitOf(seconds: readonly number[], minutes: readonly number[]): string {
  const second = seconds.length === 1 && seconds[0] === 0 ? "" : stepOf(seconds, 60, "second");
  if (second === "") return minutes.length === 1 ? `at minute ${minutes[0]} of every hour` : stepOf(minutes, 60, "minute");
  const minute = stepOf(minutes, 60, "minute");
  return minute === "every minute" ? second : `${second} ${minute.replace(/^every /, "of every ").replace(/^at /, "of ")}`;
}

/** `every 10 minutes`, or each by its number. */
function stepOf(values: readonly number[], size: number, unit: string): string {
  const step = values.length === 1 ? size : (values[1] ?? 0) - (values[0] ?? 0);
  const isEven = values[0] === 0 && size % step === 0 && values.length === size / step && values.every((value, n) => value === n * step);
  if (isEven) return step === 1 ? `every ${unit}` : step === size ? `at ${unit} 0` : `every ${step} ${unit}s`;
  return `at ${unit}${values.length === 1 ? "" : "s"} ${runs(values, String)}`;
}

function daysOf(fields: CronFields): string {
  const { days, lastDays, weekdays, nthWeekdays, lastWeekdays, eitherDay } = fields;
  const byDay = [
    ...(days.length === 0 || days.length === 31 ? [] : [`on day ${runs(days, String)}`]),
    ...lastDays.map((before) => (before === 0 ? "on the last day" : `${before} ${before === 1 ? "day" : "days"} before the last day`)),
  ];
  const byWeekday = [
    ...(weekdays.length === 0 || weekdays.length === 7 ? [] : [`on ${runs(weekdays, (day) => WEEKDAYS[day] ?? "")}`]),
    ...nthWeekdays.map(({ weekday, nth }) => `on the ${NTH[nth - 1]} ${WEEKDAYS[weekday]}`),
    ...lastWeekdays.map((weekday) => `on the last ${WEEKDAYS[weekday]}`),
  ];
  const [first, second] = [list(byDay), list(byWeekday)];
  if (first === "" && second === "") return areFew(fields) && monthsOf(fields) === "" ? "every day" : "";
  if (first === "" || second === "") return `${first}${second}`;
  return `${first} ${eitherDay ? "or" : "if it is also"} ${second}`;
}

const monthsOf = ({ months }: CronFields): string => (months.length === 12 ? "" : `in ${runs(months, (month) => MONTHS[month - 1] ?? "")}`);

/** Three and more in a row as `a to b`. */
function runs(values: readonly number[], name: (value: number) => string): string {
  const parts: string[] = [];
  for (let first = 0; first < values.length; ) {
    let last = first;
    while (values[last + 1] === (values[last] ?? 0) + 1) last += 1;
    if (last - first >= 2) parts.push(`${name(values[first] ?? 0)} to ${name(values[last] ?? 0)}`);
    else parts.push(...values.slice(first, last + 1).map(name));
    first = last + 1;
  }
  return list(parts);
}

const two = (value: number): string => String(value).padStart(2, "0");
const clock = (hour: number, minute: number, second?: number): string =>
  `${two(hour)}:${two(minute)}${second === undefined ? "" : `:${two(second)}`}`;
const list = (parts: readonly string[]): string =>
  parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
const join = (...parts: readonly string[]): string => parts.filter((part) => part !== "").join(" ");
