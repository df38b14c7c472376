import { OptionsError } from "../errors.ts";

/** A moment at which the clocks of a zone are changed. */
export interface Change {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What is added to UTC before and after, in milliseconds. */
  readonly before: number;
  readonly after: number;
}

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Half of all zones change within hours; Samoa once skipped a day. */
const LONGEST_JUMP_MS = 25 * HOUR_MS;

/** A time zone of the IANA database, as Node knows it: what is to be added to UTC, and when that changes. */
export class TimeZone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat | undefined;

  /** @throws {OptionsError} naming `path`, when there is no such zone. */
  constructor(name: string, path: string) {
    this.name = name;
    if (name === "UTC") return;
    try {
      this.#format = new Intl.DateTimeFormat("en-US", {
        timeZone: name,
        hourCycle: "h23",
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
        second: "numeric",
      });
    } catch {
      throw new OptionsError(path, name, 'must be a time zone such as "Europe/Berlin"');
    }
  }

  /** Milliseconds to add to UTC at this moment. */
  offsetAt(ms: number): number {
    if (this.#format === undefined) return 0;
    const whole = Math.floor(ms / SECOND_MS) * SECOND_MS;
    const part: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(whole)) part[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) - whole;
  }

  /** The date there at this moment, `2026-12-25`. */
  dateAt(ms: number): string {
    return new Date(ms + this.offsetAt(ms)).toISOString().slice(0, 10);
  }

  /** The first change after `from`, up to and including `until`. */
  nextChange(from: number, until: number): Change | undefined {
    if (this.#format === undefined) return undefined;
    const before = this.offsetAt(from);
    // Day by day: nowhere were the clocks ever changed there and back within one.
    for (let start = from; start < until; start += DAY_MS) {
      const end = Math.min(start + DAY_MS, until);
      if (this.offsetAt(end) !== before) return this.#search(start, end, before);
    }
    return undefined;
  }

  /** The last change up to and including `until`, if its jump may still be felt then. */
  recentChange(until: number): Change | undefined {
    return this.nextChange(until - LONGEST_JUMP_MS, until);
  }

  #search(start: number, end: number, before: number): Change {
    let low = Math.floor(start / SECOND_MS);
    let high = Math.ceil(end / SECOND_MS);
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.offsetAt(middle * SECOND_MS) === before) low = middle;
      else high = middle;
    }
    return { at: high * SECOND_MS, before, after: this.offsetAt(high * SECOND_MS) };
  }
}
