import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_OPTIONS } from "./dispatch-options.ts";
import { toStamps } from "./dispatch-stamps.ts";
import { type AnyMessageType, defineMessage } from "./message.ts";

const Note = defineMessage("note");
const HOUR_MS = 3_600_000;

const scheduledFor = (at: number, now: number): unknown =>
  toStamps(Note, {}, { scheduledAt: new Date(at) }, now).find((stamp) => stamp.name === "scheduled")?.value;

test("leaves it to the transport whether a time is over: the clock of who dispatches may be an hour ahead", () => {
  const due = Date.UTC(2026, 0, 1, 12);
  assert.deepEqual(scheduledFor(due, due - HOUR_MS), { at: due });
  assert.deepEqual(scheduledFor(due, due + HOUR_MS), { at: due });
});

test("makes the stamps of a type without options once, unless they depend on the payload or the time", () => {
  assert.equal(toStamps(Note, { n: 1 }, NO_OPTIONS, 1), toStamps(Note, { n: 2 }, NO_OPTIONS, 2));
  assert.deepEqual(toStamps(Note, {}, {}, 1), toStamps(Note, {}, NO_OPTIONS, 1));
  const [first] = toStamps(Note, {}, NO_OPTIONS, 1) as readonly { value: { queue: string } }[];
  assert.throws(() => Object.assign(first?.value ?? {}, { queue: "other" }), TypeError);
  const Line = defineMessage("line", { partitionKey: (payload) => String((payload as { n: number }).n) });
  const Brief = defineMessage("brief", { expiresInMs: 10 });
  const last = (type: AnyMessageType, payload: unknown, now: number) => toStamps(type, payload, NO_OPTIONS, now).at(-1)?.value;
  assert.deepEqual([last(Line, { n: 1 }, 1), last(Line, { n: 2 }, 1)], [{ key: "1" }, { key: "2" }]);
  assert.deepEqual([last(Brief, {}, 100), last(Brief, {}, 200)], [{ at: 110 }, { at: 210 }]);
});

test("takes a time in the distant past for a year ago, so that no retention has run out with it", () => {
  const now = Date.UTC(2026, 0, 1);
  assert.deepEqual(scheduledFor(Date.UTC(1900, 0, 1), now), { at: now - 365 * 24 * HOUR_MS });
});
