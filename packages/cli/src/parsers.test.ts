import assert from "node:assert/strict";
import { test } from "node:test";
import { header, perSecond, timeOrAge } from "./parsers.ts";

const NOW = Date.parse("2026-05-10T12:00:00Z");
const parse = (text: string): string => timeOrAge(NOW).parse(text, "--since");

test("reads a time, a date and an age", () => {
  assert.equal(parse("2026-05-01T10:00:00+02:00"), "2026-05-01T08:00:00.000Z");
  assert.equal(parse("2026-05-01"), "2026-05-01T00:00:00.000Z");
  assert.equal(parse("90m"), "2026-05-10T10:30:00.000Z");
  assert.equal(parse("7d"), "2026-05-03T12:00:00.000Z");
});

test("refuses a time without zone, nonsense and impossible dates", () => {
  for (const text of ["2026-05-01T10:00:00", "yesterday", "", "12", "2026-13-01", "-5m"])
    assert.throws(() => parse(text), { code: "OPTIONS_INVALID" }, text);
});

test("reads a rate, and refuses what is none", () => {
  assert.deepEqual(
    ["20/s", "20", "0.5/s"].map((text) => perSecond.parse(text, "--rate")),
    [20, 20, 0.5],
  );
  for (const text of ["0", "0.01/s", "20/m", "fast", "-1/s", "1e3", "1000000/s"])
    assert.throws(() => perSecond.parse(text, "--rate"), { code: "OPTIONS_INVALID" }, text);
});

test("cuts a header at its first equals sign", () => {
  assert.deepEqual(header("x-key=a=b", "--header"), ["x-key", "a=b"]);
  assert.deepEqual(header("x-empty=", "--header"), ["x-empty", ""]);
  assert.throws(() => header("novalue", "--header"), { code: "OPTIONS_INVALID" });
  assert.throws(() => header("=x", "--header"), { code: "OPTIONS_INVALID" });
});
