import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { defineMessage } from "../message.ts";
import { planRun } from "./due.ts";
import { defineSchedule, type MissedRuns, runTimeOf, type ScheduleOptions } from "./schedule.ts";

const Tick = defineMessage("test.tick");
const NOON = Date.UTC(2026, 10, 25, 12);
const MINUTE = 60_000;

const every = (interval: string, options: Partial<ScheduleOptions<unknown>> = {}) =>
  defineSchedule("tick", { message: Tick, every: interval, ...options });

/** Runs what is due until nothing is, as a worker does. */
function catchUp(
  schedule: ReturnType<typeof every>,
  from: number,
  now: number,
): { ran: number[]; missed: number; nextDueAt: number | null } {
  const ran: number[] = [];
  let missed = 0;
  let dueAt: number | null = from;
  for (;;) {
    const plan = planRun(schedule, { dueAt, notBefore: null }, now);
    missed += plan.missed;
    dueAt = plan.nextDueAt;
    if (plan.run === null) return { ran, missed, nextDueAt: dueAt };
    ran.push(plan.run);
  }
}

describe("what is due", () => {
  test("is nothing before its time, and one run at its time", () => {
    const schedule = every("1 hour");
    assert.deepEqual(planRun(schedule, { dueAt: NOON, notBefore: null }, NOON - 1), {
      run: null,
      isLate: false,
      missed: 0,
      nextDueAt: NOON,
    });
    assert.deepEqual(planRun(schedule, { dueAt: NOON, notBefore: null }, NOON), {
      run: NOON,
      isLate: false,
      missed: 0,
      nextDueAt: NOON + 60 * MINUTE,
    });
  });

  test("is never missed by a short outage, whatever the policy", () => {
    for (const missedRuns of ["all", "last", "none"] as const) {
      const { ran, missed } = catchUp(every("5 seconds", { missedRuns }), NOON, NOON + 30_000);
      assert.deepEqual([ran.length, missed], [7, 0], missedRuns);
    }
  });

  test("is, after a long one, every run, the last one or none that was missed", () => {
    const after = (missedRuns: MissedRuns) => catchUp(every("10 minutes", { missedRuns }), NOON, NOON + 59 * MINUTE);
    assert.deepEqual(after("all"), {
      ran: [0, 10, 20, 30, 40, 50].map((n) => NOON + n * MINUTE),
      missed: 0,
      nextDueAt: NOON + 60 * MINUTE,
    });
    assert.deepEqual(after("last"), { ran: [NOON + 50 * MINUTE], missed: 5, nextDueAt: NOON + 60 * MINUTE });
    assert.deepEqual(after("none"), { ran: [], missed: 6, nextDueAt: NOON + 60 * MINUTE });
  });

  test("runs what is still in time after what was missed", () => {
    const after = (missedRuns: MissedRuns) => catchUp(every("10 minutes", { missedRuns }), NOON, NOON + 20 * MINUTE + 30_000);
    assert.deepEqual(after("last").ran, [NOON + 10 * MINUTE, NOON + 20 * MINUTE]);
    assert.deepEqual(after("none").ran, [NOON + 20 * MINUTE]);
  });

  test("is found at once after years of every second", () => {
    const schedule = defineSchedule("tick", { message: Tick, cron: "* * * * * *", missedRuns: "last", missedAfterMs: 5_000 });
    const now = NOON + 2 * 365 * 86_400_000;
    const plan = planRun(schedule, { dueAt: NOON, notBefore: null }, now);
    assert.equal(plan.run, now - 6_000);
    assert.equal(plan.missed, 9_999);
    const yearly = defineSchedule("tick", { message: Tick, cron: "0 0 1 1 *", missedRuns: "last" });
    assert.equal(planRun(yearly, { dueAt: Date.UTC(2027, 0, 1), notBefore: null }, Date.UTC(2031, 5, 1)).run, Date.UTC(2031, 0, 1));
  });

  test("leaves out what was due while it was paused, without calling it missed", () => {
    const schedule = every("10 minutes", { missedRuns: "all" });
    const plan = planRun(schedule, { dueAt: NOON, notBefore: NOON + 35 * MINUTE }, NOON + 36 * MINUTE);
    assert.deepEqual(plan, { run: null, isLate: false, missed: 0, nextDueAt: NOON + 40 * MINUTE });
  });

  test("is nothing any more when the trigger has ended, stands still or goes back", () => {
    for (const trigger of [() => null, (after: Date) => after, () => new Date(0)]) {
      const schedule = defineSchedule("tick", { message: Tick, trigger });
      assert.equal(planRun(schedule, { dueAt: NOON, notBefore: null }, NOON).nextDueAt, null);
    }
    assert.equal(planRun(every("1 hour"), { dueAt: null, notBefore: null }, NOON).run, null);
  });

  test("is each due time once or missed once, for any interval, jitter, policy and outage", () => {
    const cases = fc.record({
      interval: fc.integer({ min: 1, max: 900 }),
      jitterMs: fc.integer({ min: 0, max: 30_000 }),
      missedRuns: fc.constantFrom<MissedRuns>("all", "last", "none"),
      outageS: fc.integer({ min: 0, max: 7_200 }),
    });
    fc.assert(
      fc.property(cases, ({ interval, jitterMs, missedRuns, outageS }) => {
        const schedule = every(`${interval} seconds`, { jitterMs, missedRuns, from: new Date(NOON) });
        const now = NOON + outageS * 1_000;
        const { ran, missed, nextDueAt } = catchUp(schedule, NOON, now);
        assert.ok(nextDueAt !== null && runTimeOf(schedule, nextDueAt) > now, "nothing due is left");
        assert.equal(ran.length + missed, (nextDueAt - NOON) / (interval * 1_000), "none is lost, none comes twice");
        assert.deepEqual(
          ran,
          [...new Set(ran)].sort((a, b) => a - b),
        );
        if (missedRuns === "all") assert.equal(missed, 0);
      }),
    );
  });
});
