import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { check, type Settlement } from "./checker.ts";
import type { Fault, JournalEntry, RunEntry } from "./journal.ts";

const sent = (value: string, outcome: "ok" | "unknown" | "refused" = "ok"): JournalEntry[] => [
  { kind: "invoke", value, at: 0 },
  outcome === "ok" ? { kind: "ok", value, id: `id-${value}`, at: 1 } : { kind: outcome, value, error: "reset", at: 1 },
];
const entry = (kind: RunEntry["kind"], value: string, at: number, o: Partial<RunEntry> = {}): JournalEntry => ({
  kind,
  value,
  id: `id-${value}`,
  attempt: 1,
  pid: 100,
  thread: 0,
  at,
  ...o,
});
const handled = (value: string, from: number, to: number, o: Partial<RunEntry> = {}): JournalEntry[] => [
  entry("start", value, from, o),
  entry("end", value, to, o),
];
const fault = (o: Partial<Fault> & { from: number }): JournalEntry => ({ kind: "fault", fault: { name: "kill", until: o.from, ...o } });

describe("the checker", () => {
  test("finds nothing wrong with messages that were handled once each", () => {
    const verdict = check({ entries: [...sent("a-1"), ...sent("a-2"), ...handled("a-1", 10, 20), ...handled("a-2", 20, 30)] });
    assert.deepEqual(verdict.violations, []);
    assert.deepEqual([verdict.invoked, verdict.accepted, verdict.handled, verdict.duplicates.length], [2, 2, 2, 0]);
  });

  test("tells what was lost at the beginning, in the middle and at the end of a writer's sequence", () => {
    const values = ["a-1", "a-2", "a-3", "a-4", "a-5"];
    const verdict = check({ entries: [...values.flatMap((value) => sent(value)), ...handled("a-2", 10, 20), ...handled("a-4", 10, 20)] });
    assert.deepEqual(verdict.lost, { total: 3, prefix: 1, middle: 1, postfix: 1, values: ["a-1", "a-3", "a-5"] });
    assert.match(verdict.violations.join(), /3 lost/);
  });

  test("counts a run that started and never ended as lost, unless a later one ended or it was dead-lettered", () => {
    const entries = [...sent("a-1"), entry("start", "a-1", 10)];
    assert.equal(check({ entries }).lost.total, 1);
    assert.equal(check({ entries, deadLettered: ["a-1"] }).lost.total, 0);
  });

  test("does not call a message lost whose dispatch was refused or could not tell", () => {
    const verdict = check({
      entries: [...sent("a-1", "refused"), ...sent("a-2", "unknown"), ...sent("a-3", "unknown"), ...handled("a-3", 10, 20)],
    });
    assert.deepEqual(verdict.violations, []);
    assert.deepEqual([verdict.refused, verdict.unknown, verdict.recovered], [1, 2, 1]);
  });

  test("reports what was handled and never sent, or surely refused", () => {
    const verdict = check({ entries: [...sent("a-1", "refused"), ...handled("a-1", 10, 20), ...handled("a-2", 10, 20)] });
    assert.deepEqual(verdict.unexpected, ["a-1", "a-2"]);
  });

  test("explains a run that a frozen process begins late by what froze it, and by nothing else", () => {
    const late = [...sent("a-1"), ...handled("a-1", 10, 20, { pid: 2 }), ...handled("a-1", 30, 40, { pid: 1 })];
    const frozen = { from: 5, until: 30, overlap: true };
    assert.equal(check({ entries: [...late, fault({ ...frozen, pids: [1] })] }).unexplained.length, 0);
    assert.equal(check({ entries: [...late, fault({ ...frozen, pids: [3] })] }).unexplained.length, 1);
    assert.equal(check({ entries: [...late, fault({ ...frozen, pids: [1], overlap: false })] }).unexplained.length, 1);
  });

  test("reports a repetition that no fault explains", () => {
    const verdict = check({ entries: [...sent("a-1"), ...handled("a-1", 10, 20), ...handled("a-1", 50, 60)] });
    assert.equal(verdict.unexplained.length, 1);
    assert.match(verdict.violations.join(), /1 repeated without a fault/);
  });

  test("accepts a repetition after the kill of the process that ran it, and not after that of another", () => {
    const entries = [...sent("a-1"), entry("start", "a-1", 10), ...handled("a-1", 50, 60, { pid: 200 })];
    assert.deepEqual(check({ entries: [...entries, fault({ from: 30, pids: [100] })] }).explained, { kill: 1 });
    assert.equal(check({ entries: [...entries, fault({ from: 30, pids: [300] })] }).unexplained.length, 1);
    assert.equal(check({ entries: [...entries, fault({ from: 70, pids: [100] })] }).unexplained.length, 1, "a fault after the fact");
  });

  test("accepts a repetition when the kill came before the acknowledgement, and not long after it", () => {
    const entries = [...sent("a-1"), ...handled("a-1", 10, 20), ...handled("a-1", 9_000, 9_010, { pid: 200 })];
    assert.deepEqual(check({ entries: [...entries, fault({ from: 120, pids: [100] })] }).violations, []);
    assert.equal(check({ entries: [...entries, fault({ from: 5_000, pids: [100] })] }).unexplained.length, 1);
  });

  test("accepts two runs at the same time only under a fault that cuts the worker off", () => {
    const entries = [...sent("a-1"), entry("start", "a-1", 10), ...handled("a-1", 50, 60, { pid: 200 }), entry("end", "a-1", 90)];
    assert.equal(check({ entries: [...entries, fault({ from: 30, pids: [100] })] }).unexplained.length, 1);
    assert.deepEqual(check({ entries: [...entries, fault({ from: 30, until: 80, pids: [100], overlap: true })] }).violations, []);
  });

  test("takes a retry after a failure for no repetition", () => {
    const entries = [...sent("a-1"), entry("start", "a-1", 10), entry("threw", "a-1", 20), ...handled("a-1", 50, 60, { attempt: 2 })];
    assert.deepEqual(check({ entries }).duplicates, []);
  });

  test("reports an attempt number that falls", () => {
    const first = [entry("start", "a-1", 10, { attempt: 2 }), entry("threw", "a-1", 20, { attempt: 2 })];
    assert.deepEqual(check({ entries: [...sent("a-1"), ...first, ...handled("a-1", 50, 60)] }).fallingAttempts, ["a-1"]);
  });

  test("reports two accepted ends of one delivery, and two final ends of one message", () => {
    const settled = (id: string, fence: number, kind: Settlement["kind"]): Settlement => ({ id, fence, kind, at: 0 });
    const fine = [settled("1", 0, "returned"), settled("1", 1, "acknowledged"), settled("2", 0, "dead")];
    assert.deepEqual(check({ entries: [], settlements: fine }).doubleSettled, []);
    const zombie = [settled("1", 0, "returned"), settled("1", 0, "acknowledged")];
    assert.equal(check({ entries: [], settlements: zombie }).doubleSettled.length, 1);
    const twice = [settled("1", 0, "acknowledged"), settled("1", 1, "acknowledged")];
    assert.equal(check({ entries: [], settlements: twice }).doubleSettled.length, 1);
  });

  test("finds every planted loss and repetition, and nothing else", () => {
    const plan = fc.array(fc.constantFrom("once", "lost", "twice"), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(plan, (fates) => {
        const entries = fates.flatMap((fate, i) => {
          const value = `w-${i}`;
          const runs = { once: handled(value, 10, 20), lost: [], twice: [...handled(value, 10, 20), ...handled(value, 5_000, 5_010)] };
          return [...sent(value), ...runs[fate]];
        });
        const verdict = check({ entries });
        assert.equal(verdict.lost.total, fates.filter((fate) => fate === "lost").length);
        assert.equal(verdict.unexplained.length, fates.filter((fate) => fate === "twice").length);
      }),
    );
  });
});
