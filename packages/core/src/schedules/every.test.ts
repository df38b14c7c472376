import assert from "node:assert/strict";
import { test } from "node:test";
import { everyTrigger } from "./every.ts";

const at = (text: string): Date => new Date(text);

test("an interval is due at whole multiples, or from the start that is given", () => {
  const tenMinutes = everyTrigger("10 minutes");
  assert.deepEqual(tenMinutes.next(at("2026-11-25T10:00:00Z")), at("2026-11-25T10:10:00Z"));
  assert.deepEqual(tenMinutes.next(at("2026-11-25T10:09:59.999Z")), at("2026-11-25T10:10:00Z"));
  const from = everyTrigger("1 day", at("2026-12-01T07:30:00Z"));
  assert.deepEqual(from.next(at("2026-11-25T00:00:00Z")), at("2026-12-01T07:30:00Z"));
  assert.deepEqual(from.next(at("2026-12-01T07:30:00Z")), at("2026-12-02T07:30:00Z"));
});

test("intervals are milliseconds or words with a unit", () => {
  const read = (interval: number | string): string => everyTrigger(interval).text;
  assert.deepEqual(
    ["90s", "500 ms", "1.5 hours", "2 weeks", 60_000, "1 DAY", "5 mins"].map((text) => attempt(() => read(text))),
    ["every 90 seconds", "every 500 ms", "every 90 minutes", "every 2 weeks", "every minute", "every day", "refused"],
  );
  for (const wrong of [0, 99, -1, 1.5, Number.NaN, "10", "minutes", "2 years", "", 400 * 86_400_000])
    assert.throws(() => everyTrigger(wrong, undefined, 'schedule "x".every'), { code: "OPTIONS_INVALID", path: 'schedule "x".every' });
});

const attempt = (run: () => string): string => {
  try {
    return run();
  } catch {
    return "refused";
  }
};
