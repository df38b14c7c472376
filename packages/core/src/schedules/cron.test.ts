import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CronExpressionParser } from "cron-parser";
import fc from "fast-check";
import { OptionsError } from "../errors.ts";
import { cronTrigger } from "./cron.ts";
import { resolveCron } from "./cron-fields.ts";

/** The first `count` due times after `after`, as the clock of the zone shows them, with what it is ahead of UTC. */
function due(expression: string, after: string, count: number, timeZone = "UTC"): string[] {
  const trigger = cronTrigger(expression, { timeZone });
  const shown = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  const found: string[] = [];
  for (let at = trigger.next(new Date(after)); at !== null && found.length < count; at = trigger.next(at)) {
    const offset = zone
      .formatToParts(at)
      .find(({ type }) => type === "timeZoneName")
      ?.value.replace("GMT", "");
    found.push(`${shown.format(at)}${timeZone === "UTC" ? "" : offset}`);
  }
  return found;
}

const times = (list: readonly string[]): string[] => list.map((each) => each.slice(11));

describe("a cron trigger", () => {
  test("reads minutes, hours, days, months and weekdays, with lists, ranges, steps and names", () => {
    assert.deepEqual(due("30 4 * * *", "2026-11-25T10:00:00Z", 2), ["2026-11-26 04:30:00", "2026-11-27 04:30:00"]);
    assert.deepEqual(times(due("*/20 9-10 * * *", "2026-11-25T00:00:00Z", 6)), [
      "09:00:00",
      "09:20:00",
      "09:40:00",
      "10:00:00",
      "10:20:00",
      "10:40:00",
    ]);
    assert.deepEqual(due("0 0 1 jan,jul *", "2026-02-01T00:00:00Z", 2), ["2026-07-01 00:00:00", "2027-01-01 00:00:00"]);
    assert.deepEqual(due("0 8 * * MON-FRI", "2026-11-27T08:00:00Z", 2), ["2026-11-30 08:00:00", "2026-12-01 08:00:00"]);
    assert.deepEqual(due("0 8 * * 5-7", "2026-11-26T00:00:00Z", 3), ["2026-11-27 08:00:00", "2026-11-28 08:00:00", "2026-11-29 08:00:00"]);
    assert.deepEqual(times(due("5/20 * * * *", "2026-11-25T00:00:00Z", 4)), ["00:05:00", "00:25:00", "00:45:00", "01:05:00"]);
  });

  test("takes seconds as an optional first field", () => {
    assert.deepEqual(times(due("*/15 * * * * *", "2026-11-25T10:59:40Z", 3)), ["10:59:45", "11:00:00", "11:00:15"]);
    assert.deepEqual(times(due("59 59 23 * * *", "2026-11-25T10:00:00Z", 1)), ["23:59:59"]);
  });

  test("knows the last day, days before it, nth and last weekdays", () => {
    assert.deepEqual(due("0 0 L * *", "2028-01-31T00:00:00Z", 2), ["2028-02-29 00:00:00", "2028-03-31 00:00:00"]);
    assert.deepEqual(due("0 0 L-2 * *", "2026-11-01T00:00:00Z", 2), ["2026-11-28 00:00:00", "2026-12-29 00:00:00"]);
    assert.deepEqual(due("0 0 * * 5L", "2026-11-01T00:00:00Z", 2), ["2026-11-27 00:00:00", "2026-12-25 00:00:00"]);
    assert.deepEqual(due("0 0 * * tue#2", "2026-11-01T00:00:00Z", 2), ["2026-11-10 00:00:00", "2026-12-08 00:00:00"]);
    assert.deepEqual(due("0 0 29 2 *", "2026-11-01T00:00:00Z", 2), ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]);
  });

  test("is due on either day when both kinds of day are restricted", () => {
    assert.deepEqual(due("0 0 13 * 5", "2026-11-05T00:00:00Z", 4), [
      "2026-11-06 00:00:00",
      "2026-11-13 00:00:00",
      "2026-11-20 00:00:00",
      "2026-11-27 00:00:00",
    ]);
  });

  test("is never due at the moment it is asked for, and always in whole seconds", () => {
    const trigger = cronTrigger("* * * * * *");
    assert.equal(trigger.next(new Date("2026-11-25T10:00:00.000Z"))?.toISOString(), "2026-11-25T10:00:01.000Z");
    assert.equal(trigger.next(new Date("2026-11-25T10:00:00.999Z"))?.toISOString(), "2026-11-25T10:00:01.000Z");
  });

  test("agrees with another implementation on any expression and time", () => {
    const field = (min: number, max: number) =>
      fc.oneof(
        fc.constant("*"),
        fc.integer({ min, max }).map(String),
        fc.integer({ min: 1, max: Math.max(2, max - 1) }).map((step) => `*/${step}`),
        fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
        fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((list) => list.join(",")),
      );
    // Steps of days are left out: the two have another idea of "either day" there.
    const day = (min: number, max: number) => field(min, max).filter((text) => !text.includes("/"));
    const expressions = fc.tuple(field(0, 59), field(0, 59), field(0, 23), day(1, 28), field(1, 12), day(0, 6)).map((all) => all.join(" "));
    const starts = fc.integer({ min: Date.UTC(2020, 0), max: Date.UTC(2060, 0) });
    fc.assert(
      fc.property(expressions, starts, (expression, start) => {
        const other = CronExpressionParser.parse(expression, { currentDate: new Date(start), tz: "UTC" });
        const trigger = cronTrigger(expression);
        let at: Date | null = new Date(start);
        for (let n = 0; n < 3; n++) {
          at = at === null ? null : trigger.next(at);
          assert.equal(at?.getTime(), other.next().getTime(), `${expression} after ${new Date(start).toISOString()}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("says which field cannot be read", () => {
    const wrong = (expression: string, message: RegExp): void => {
      assert.throws(
        () => cronTrigger(expression, { path: 'schedule "x".cron' }),
        (error) => error instanceof OptionsError && error.path === 'schedule "x".cron' && message.test(error.message),
        expression,
      );
    };
    wrong("* * * *", /five fields/);
    wrong("60 * * * *", /minute, "60" is not from 0 to 59/);
    wrong("* * * foo *", /month, "foo"/);
    wrong("*/0 * * * *", /step/);
    wrong("30-10 * * * *", /ends before/);
    wrong("1,,2 * * * *", /minute/);
    wrong("0 0 30 2 *", /date that exists/);
    wrong("#(9-2) * * * *", /minute/);
    assert.throws(() => cronTrigger("* * * * *", { timeZone: "Mars/Olympus" }), /time zone/);
  });
});

describe("a cron trigger when the clocks of Europe/Berlin change", () => {
  const zone = "Europe/Berlin";

  test("spring: a time that does not exist is due as if they had not been changed, once", () => {
    assert.deepEqual(due("30 2 * * *", "2027-03-27T12:00:00Z", 2, zone), ["2027-03-28 03:30:00+02:00", "2027-03-29 02:30:00+02:00"]);
    assert.deepEqual(due("0 2,3 * * *", "2027-03-28T00:30:00Z", 2, zone), ["2027-03-28 03:00:00+02:00", "2027-03-29 02:00:00+02:00"]);
    assert.deepEqual(due("30 2-3 * * *", "2027-03-28T00:45:00Z", 3, zone), [
      "2027-03-28 03:30:00+02:00",
      "2027-03-29 02:30:00+02:00",
      "2027-03-29 03:30:00+02:00",
    ]);
  });

  test("autumn: of a time that exists twice the first is due, once", () => {
    assert.deepEqual(due("30 2 * * *", "2026-10-24T12:00:00Z", 2, zone), ["2026-10-25 02:30:00+02:00", "2026-10-26 02:30:00+01:00"]);
    assert.deepEqual(due("0 3 * * *", "2026-10-24T12:00:00Z", 1, zone), ["2026-10-25 03:00:00+01:00"]);
  });

  test("an hourly one is due every hour that passes, 23 in spring and 25 in autumn", () => {
    const hours = (from: string, to: string): number => due("0 * * * *", from, 200, zone).filter((at) => at.startsWith(to)).length;
    assert.equal(hours("2027-03-27T22:59:59Z", "2027-03-28"), 23);
    assert.equal(hours("2026-10-24T21:59:59Z", "2026-10-25"), 25);
    assert.deepEqual(times(due("*/30 * * * *", "2026-10-24T23:59:00Z", 6, zone)), [
      "02:00:00+02:00",
      "02:30:00+02:00",
      "02:00:00+01:00",
      "02:30:00+01:00",
      "03:00:00+01:00",
      "03:30:00+01:00",
    ]);
  });
});

describe("a cron trigger when the clocks of Australia/Lord_Howe change by half an hour", () => {
  const zone = "Australia/Lord_Howe";

  test("spring: what falls into the half hour that is left out is due half an hour later, once", () => {
    assert.deepEqual(due("15 2 * * *", "2026-10-03T00:00:00Z", 2, zone), ["2026-10-04 02:45:00+11:00", "2026-10-05 02:15:00+11:00"]);
    assert.deepEqual(due("0,30 2 * * *", "2026-10-03T12:00:00Z", 2, zone), ["2026-10-04 02:30:00+11:00", "2026-10-05 02:00:00+11:00"]);
    assert.deepEqual(times(due("*/15 * * * *", "2026-10-03T15:00:00Z", 4, zone)), [
      "01:45:00+10:30",
      "02:30:00+11:00",
      "02:45:00+11:00",
      "03:00:00+11:00",
    ]);
  });

  test("autumn: what falls into the half hour that is repeated is due the first time, or both times when hourly", () => {
    assert.deepEqual(due("45 1 * * *", "2027-04-03T00:00:00Z", 2, zone), ["2027-04-04 01:45:00+11:00", "2027-04-05 01:45:00+10:30"]);
    assert.deepEqual(times(due("*/15 * * * *", "2027-04-03T14:20:00Z", 6, zone)), [
      "01:30:00+11:00",
      "01:45:00+11:00",
      "01:30:00+10:30",
      "01:45:00+10:30",
      "02:00:00+10:30",
      "02:15:00+10:30",
    ]);
  });
});

test("any daily time is due exactly once on every day of a year, in any zone", () => {
  const zones = fc.constantFrom(
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/New_York",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Chatham",
  );
  const time = fc.tuple(fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 23 }));
  fc.assert(
    fc.property(zones, time, (timeZone, [minute, hour]) => {
      const trigger = cronTrigger(`${minute} ${hour} * * *`, { timeZone });
      const dates = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short" });
      const days: string[] = [];
      // Noon of New Year's Eve lies before the first day in every zone.
      for (
        let at = trigger.next(new Date("2025-12-30T20:00:00Z"));
        at !== null && at.getTime() < Date.UTC(2027, 0, 2);
        at = trigger.next(at)
      )
        days.push(dates.format(at));
      assert.deepEqual(days, [...new Set(days)], "no day twice");
      assert.equal(days.filter((day) => day.startsWith("2026-")).length, 365);
    }),
    { numRuns: 25 },
  );
});

describe("hashed fields", () => {
  test("stand for one value each, the same in every process and spread over names", () => {
    assert.equal(resolveCron("# # * * *", "nightly-report"), resolveCron("#daily", "nightly-report"));
    const minutes = Array.from({ length: 400 }, (_, n) => Number(resolveCron("# # * * *", `schedule-${n}`).split(" ")[0]));
    assert.ok(new Set(minutes).size > 50, "four hundred schedules share the minutes of the hour");
    const busiest = Math.max(...minutes.map((minute) => minutes.filter((each) => each === minute).length));
    assert.ok(busiest < 25, `${busiest} of 400 in one minute`);
  });

  test("stay in their range, and are days that every month has", () => {
    for (let n = 0; n < 200; n++) {
      const [minute, hour, day, month, weekday] = resolveCron("# #(0-2) # # #", `s${n}`).split(" ").map(Number) as [
        number,
        number,
        number,
        number,
        number,
      ];
      assert.ok(minute < 60 && hour < 3 && day >= 1 && day <= 28 && month >= 1 && month <= 12 && weekday < 7);
    }
    assert.equal(resolveCron("0 0 * * 5#2", "x"), "0 0 * * 5#2", "a weekday's number is not a hash");
  });
});
