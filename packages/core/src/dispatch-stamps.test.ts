import assert from "node:assert/strict";
import { test } from "node:test";
import { toStamps } from "./dispatch-stamps.ts";
import { defineMessage } from "./message.ts";

const Note = defineMessage("note");
const HOUR_MS = 3_600_000;

const scheduledFor = (at: number, now: number): unknown =>
  toStamps(Note, {}, { scheduledAt: new Date(at) }, now).find((stamp) => stamp.name === "scheduled")?.value;

test("leaves it to the transport whether a time is over: the clock of who dispatches may be an hour ahead", () => {
  const due = Date.UTC(2026, 0, 1, 12);
  assert.deepEqual(scheduledFor(due, due - HOUR_MS), { at: due });
  assert.deepEqual(scheduledFor(due, due + HOUR_MS), { at: due });
});

test("takes a time in the distant past for a year ago, so that no retention has run out with it", () => {
  const now = Date.UTC(2026, 0, 1);
  assert.deepEqual(scheduledFor(Date.UTC(1900, 0, 1), now), { at: now - 365 * 24 * HOUR_MS });
});
