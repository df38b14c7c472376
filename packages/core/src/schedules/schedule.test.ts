import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseConfig } from "../config.ts";
import { defineMessage } from "../message.ts";
import { defineSchedule, runTimeOf, type ScheduleOptions, type ScheduleRun } from "./schedule.ts";

const Report = defineMessage("test.report");
const define = (options: Partial<ScheduleOptions<unknown>>, name = "report") => defineSchedule(name, { message: Report, ...options });
const due = (options: Partial<ScheduleOptions<unknown>>, after: string, count: number): string[] => {
  const { trigger } = define(options);
  const found: string[] = [];
  for (let at = trigger.next(new Date(after)); at !== null && found.length < count; at = trigger.next(at)) found.push(at.toISOString());
  return found;
};

describe("a schedule", () => {
  test("has exactly one trigger: cron, an interval or an own function", () => {
    const weekend = (after: Date): Date => new Date(after.getTime() + 3 * 86_400_000);
    assert.equal(define({ cron: "0 3 * * *", timeZone: "Europe/Berlin" }).text, "cron 0 3 * * * (Europe/Berlin)");
    assert.equal(define({ every: "10 minutes" }).text, "every 10 minutes");
    assert.equal(define({ trigger: weekend }).text, "own trigger weekend");
    assert.deepEqual(due({ trigger: { next: weekend, text: "every third day" } }, "2026-11-25T00:00:00Z", 1), ["2026-11-28T00:00:00.000Z"]);
    for (const wrong of [{}, { cron: "* * * * *", every: 1_000 }, { trigger: {} as never }])
      assert.throws(() => define(wrong), { code: "OPTIONS_INVALID" });
  });

  test("is due only from one time and until another", () => {
    const bounds = { from: "2026-12-01T12:00:00Z", until: new Date("2026-12-04T00:00:00Z") };
    assert.deepEqual(due({ cron: "0 0 * * *", ...bounds }, "2026-11-25T00:00:00Z", 9), [
      "2026-12-02T00:00:00.000Z",
      "2026-12-03T00:00:00.000Z",
    ]);
    assert.deepEqual(due({ every: "36h", ...bounds }, "2026-11-25T00:00:00Z", 9), ["2026-12-01T12:00:00.000Z", "2026-12-03T00:00:00.000Z"]);
  });

  test("leaves out days of its own zone, or what a function names", () => {
    const exclude = ["2026-12-25", "2026-12-26"];
    assert.deepEqual(due({ cron: "30 0 * * *", timeZone: "Europe/Berlin", exclude }, "2026-12-24T10:00:00Z", 1), [
      "2026-12-26T23:30:00.000Z",
    ]);
    const isSunday = (at: Date): boolean => at.getUTCDay() === 0;
    assert.deepEqual(due({ cron: "0 0 * * *", exclude: isSunday }, "2026-11-28T00:00:00Z", 1), ["2026-11-30T00:00:00.000Z"]);
    assert.deepEqual(due({ cron: "0 0 * * *", exclude: () => true }, "2026-11-28T00:00:00Z", 1), [], "it ends, too");
  });

  test("is spread by jitter, within its range and always alike for one due time", () => {
    const schedule = define({ every: "1 minute", jitterMs: 5_000 });
    const delays = Array.from({ length: 500 }, (_, n) => runTimeOf(schedule, n * 60_000) - n * 60_000);
    assert.ok(Math.min(...delays) >= 0 && Math.max(...delays) <= 5_000);
    assert.ok(Math.max(...delays) - Math.min(...delays) > 4_000);
    assert.equal(runTimeOf(schedule, 60_000), runTimeOf(define({ every: "1 minute", jitterMs: 5_000 }), 60_000));
  });

  test("spreads hashed fields by its name", () => {
    assert.equal(define({ cron: "#daily" }, "a").text, define({ cron: "# # * * *" }, "a").text);
    assert.notEqual(define({ cron: "#daily" }, "a").text, define({ cron: "#daily" }, "b").text);
  });

  test("builds its payload when it is due, or has a fixed one", async () => {
    const run = { schedule: "report", dueAt: new Date(0), isManual: false };
    assert.deepEqual(define({ every: 1_000, payload: { day: 1 } }).payload(run), { day: 1 });
    assert.equal(define({ every: 1_000 }).payload(run), null);
    assert.equal(
      await define({ every: 1_000, payload: async ({ dueAt }: ScheduleRun) => dueAt.toISOString() }).payload(run),
      "1970-01-01T00:00:00.000Z",
    );
  });

  test("says which option is wrong", () => {
    const path = (options: object): string => {
      try {
        define({ every: 1_000, ...options });
      } catch (error) {
        return (error as { path: string }).path;
      }
      return "none";
    };
    assert.equal(path({ missedRuns: "some" }), 'schedule "report".missedRuns');
    assert.equal(path({ timeZone: "Nowhere" }), 'schedule "report".timeZone');
    assert.equal(path({ from: "2026-01-01T00:00:00" }), 'schedule "report".from');
    assert.equal(path({ exclude: ["25.12."] }), 'schedule "report".exclude');
    assert.equal(path({ timezone: "UTC" }), 'schedule "report".timezone');
    assert.throws(() => define({ every: 1_000, timezone: "UTC" } as never), /did you mean "timeZone"/);
    assert.throws(() => define({ every: 1_000 }, "no spaces"), { code: "OPTIONS_INVALID" });
  });
});

describe("schedules in the configuration", () => {
  const transports = { default: { dsn: "memory:" } };

  test("bring their message types with them", () => {
    const schedule = define({ every: "1 hour" });
    const config = parseConfig({ transports, schedules: [schedule] });
    assert.deepEqual(config.schedules, [schedule]);
    assert.deepEqual(config.messages, [Report]);
  });

  test("come from defineSchedule, each with a name of its own", () => {
    assert.throws(() => parseConfig({ transports, schedules: [{ name: "x" }] }), { path: "config.schedules[0]" });
    const twice = [define({ every: 1_000 }), define({ every: 2_000 })];
    assert.throws(() => parseConfig({ transports, schedules: twice }), { code: "CONFIG_INVALID" });
  });
});
