import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ErrorRecord } from "@symphony/core";
import fc from "fast-check";
import { type Death, judge, type Victim } from "./blame.ts";

const ERROR: ErrorRecord = { name: "Error", message: "gone" };
const victim = (slot: number, more: Partial<Victim> = {}): Victim => ({ slot, phase: "running", expired: false, timeoutMs: 100, ...more });

/** Slot → what became of it, short. */
function shortly(victims: readonly Victim[], death: Death): readonly string[] {
  return judge(victims, death).map(({ outcome, suspect }) => {
    const detail =
      outcome.kind === "crashed" ? (outcome.guilty ? " guilty" : "") : outcome.kind === "interrupted" ? ` ${outcome.reason}` : "";
    return `${outcome.kind}${detail}${suspect ? " suspect" : ""}`;
  });
}

describe("judge", () => {
  test("one message running when a thread dies: it is guilty", () => {
    const victims = [victim(0), victim(1, { phase: "queued" })];
    assert.deepEqual(shortly(victims, { kind: "died", error: ERROR }), ["crashed guilty", "interrupted neighbour"]);
  });

  test("several running and nobody named: all are suspects, none is counted", () => {
    assert.deepEqual(shortly([victim(0), victim(1)], { kind: "died", error: ERROR }), ["crashed suspect", "crashed suspect"]);
  });

  test("the thread named one: the others are neighbours", () => {
    const death: Death = { kind: "died", error: ERROR, accused: 1 };
    assert.deepEqual(shortly([victim(0), victim(1)], death), ["interrupted neighbour", "crashed guilty"]);
  });

  test("the thread named a message that had ended: nobody who runs is guilty, not even a single one", () => {
    assert.deepEqual(shortly([victim(0)], { kind: "died", error: ERROR, accused: null }), ["interrupted neighbour"]);
  });

  test("what had ended keeps its outcome as far as it is known", () => {
    const victims = [victim(0, { phase: "handled" }), victim(1, { phase: "settled" }), victim(2, { phase: "ended" }), victim(3)];
    const expected = ["handled", "handled", "interrupted neighbour", "crashed guilty"];
    assert.deepEqual(shortly(victims, { kind: "died", error: ERROR }), expected);
    assert.deepEqual(judge(victims, { kind: "died", error: ERROR })[1]?.outcome, { kind: "handled", settled: true });
  });

  test("a thread that still listened is ended: whoever is late is late", () => {
    const victims = [victim(0, { expired: true }), victim(1), victim(2, { aborted: "lease_lost" })];
    const expected = ["timedOut", "interrupted neighbour", "interrupted lease_lost"];
    assert.deepEqual(shortly(victims, { kind: "ended", responsive: true }), expected);
  });

  test("a blocked thread is ended: the one it was in is late, its neighbours are not", () => {
    const victims = [victim(0, { expired: true }), victim(1, { expired: true })];
    assert.deepEqual(shortly(victims, { kind: "ended", responsive: false, entering: 1 }), ["interrupted neighbour", "timedOut"]);
  });

  test("a blocked thread is ended before the one it was in was late: that one runs alone next time", () => {
    const victims = [victim(0, { expired: true }), victim(1)];
    const expected = ["interrupted neighbour", "interrupted neighbour suspect"];
    assert.deepEqual(shortly(victims, { kind: "ended", responsive: false, entering: 1 }), expected);
  });

  test("a blocked thread is ended and nobody knows who blocks it: all who ran run alone next time", () => {
    const victims = [victim(0, { expired: true }), victim(1), victim(2, { phase: "queued" })];
    const expected = ["interrupted neighbour suspect", "interrupted neighbour suspect", "interrupted neighbour"];
    assert.deepEqual(shortly(victims, { kind: "ended", responsive: false }), expected);
  });

  test("always gives one verdict per message, and at most one guilty", () => {
    const victims = fc.uniqueArray(
      fc.record({
        slot: fc.nat(20),
        phase: fc.constantFrom("queued", "running", "ended", "handled", "settled"),
        expired: fc.boolean(),
        timeoutMs: fc.constant(100),
      }),
      { selector: ({ slot }) => slot },
    );
    const deaths = fc.oneof(
      fc.record({ kind: fc.constant("died"), error: fc.constant(ERROR), accused: fc.option(fc.nat(20)) }),
      fc.record({ kind: fc.constant("died"), error: fc.constant(ERROR) }),
      fc.record({ kind: fc.constant("ended"), responsive: fc.boolean(), entering: fc.nat(20) }),
    );
    fc.assert(
      fc.property(victims, deaths, (given, death) => {
        const verdicts = judge(given as Victim[], death as Death);
        assert.deepEqual(
          verdicts.map(({ slot }) => slot),
          given.map(({ slot }) => slot),
        );
        assert.ok(verdicts.filter(({ outcome }) => outcome.kind === "crashed" && outcome.guilty).length <= 1);
      }),
    );
  });
});
