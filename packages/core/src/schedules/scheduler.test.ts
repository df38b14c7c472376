import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { TransportError } from "../errors.ts";
import { defineMessage } from "../message.ts";
import { createMessenger, type Messenger } from "../messenger.ts";
import { headers } from "../stamps.ts";
import { METRICS } from "../telemetry/names.ts";
import { createManualRuntime, type ManualRuntime } from "../testing/manual-clock.ts";
import { createMemoryTransport, type MemoryTransport } from "../transports/memory.ts";
import { listSchedules, pauseSchedule, removeSchedule, runSchedule } from "./control.ts";
import { defineSchedule, type Schedule, type ScheduleOptions, type ScheduleRun } from "./schedule.ts";
import { Scheduler } from "./scheduler.ts";

const Tick = defineMessage("test.tick");
const START = Date.UTC(2026, 10, 25, 12);
const MINUTE = 60_000;

const every = (interval: string, options: Partial<ScheduleOptions<unknown>> = {}, name = "tick"): Schedule =>
  defineSchedule(name, {
    message: Tick,
    every: interval,
    payload: ({ dueAt }: ScheduleRun) => dueAt.toISOString().slice(11, 19),
    ...options,
  });

/** A store that several programs share, and time that a test moves. */
class Bench {
  readonly runtime: ManualRuntime = createManualRuntime({ startAt: START });
  readonly transport: MemoryTransport = createMemoryTransport({ runtime: this.runtime });
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
  }

  messenger(...schedules: readonly Schedule[]): Promise<Messenger> {
    const config = { transports: { default: { dsn: "memory:" } }, schedules };
    return createMessenger(config, { runtime: this.runtime, transports: { default: this.transport } });
  }

  /** A worker process with these schedules. */
  async start(...schedules: readonly Schedule[]): Promise<Scheduler & { messenger: Messenger }> {
    const messenger = await this.messenger(...schedules);
    const scheduler = new Scheduler({ messenger });
    this.#t.after(() => scheduler.stop());
    scheduler.start();
    await this.runtime.clock.advance(0);
    return Object.assign(scheduler, { messenger });
  }

  pass(ms: number): Promise<void> {
    return this.runtime.clock.advance(ms);
  }

  /** Payloads of what was dispatched so far. */
  get sent(): readonly unknown[] {
    return this.transport.getSent().map((envelope) => envelope.message.payload);
  }
}

/** A process that is killed: nothing of it happens any more, and nothing is released. */
const kill = (bench: Bench, scheduler: Scheduler): void => {
  const { transport } = bench;
  const release = transport.schedules.release;
  transport.schedules.release = async () => undefined;
  void scheduler.stop().then(() => {
    transport.schedules.release = release;
  });
};

describe("a scheduler", () => {
  test("dispatches each due time once, built when it is due, however many processes run", async (t) => {
    const bench = new Bench(t);
    for (let n = 0; n < 3; n++) await bench.start(every("10 minutes", { headers: { team: "a" } }));
    await bench.pass(10 * MINUTE - 1);
    assert.deepEqual(bench.sent, []);
    await bench.pass(1);
    assert.deepEqual(bench.sent, ["12:10:00"]);
    await bench.pass(30 * MINUTE);
    assert.deepEqual(bench.sent, ["12:10:00", "12:20:00", "12:30:00", "12:40:00"]);
    const due = bench.transport.getSent()[0]?.last(headers);
    assert.deepEqual(due, { team: "a", "symphony-schedule": "tick", "symphony-due-at": "2026-11-25T12:10:00.000Z" });
  });

  test("dispatches at the due time, to the millisecond, plus the jitter", async (t) => {
    const bench = new Bench(t);
    const scheduler = await bench.start(every("7 seconds"), every("1 minute", { jitterMs: 5_000 }, "jittered"));
    const late: number[] = [];
    const at: number[] = [];
    let seven = 0;
    scheduler.on("schedule_run", ({ schedule, lateMs, dueAt }) => {
      late.push(lateMs);
      if (schedule === "jittered") at.push(bench.runtime.clock.now() - dueAt.getTime());
      else seven += 1;
    });
    await bench.pass(10 * MINUTE);
    assert.equal(seven, Math.floor((START + 10 * MINUTE) / 7_000) - Math.floor(START / 7_000));
    assert.ok(at.length >= 9);
    assert.ok(
      late.every((ms) => ms === 0),
      `${Math.max(...late)} ms late`,
    );
    assert.ok(at.every((ms) => ms >= 0 && ms <= 5_000) && new Set(at).size > 3, String(at));
  });

  test("goes on within seconds in another process when one is killed", async (t) => {
    const bench = new Bench(t);
    const first = await bench.start(every("10 minutes"));
    const second = await bench.start(every("10 minutes"));
    const late: number[] = [];
    second.on("schedule_run", ({ lateMs }) => late.push(lateMs));
    await bench.pass(9 * MINUTE);
    kill(bench, first);
    await bench.pass(21 * MINUTE);
    assert.deepEqual(bench.sent, ["12:10:00", "12:20:00", "12:30:00"]);
    assert.deepEqual(late, [0, 0, 0]);
    kill(bench, second);
    const third = await bench.start(every("10 minutes"));
    third.on("schedule_run", ({ lateMs }) => late.push(lateMs));
    await bench.pass(10 * MINUTE + 6_000);
    assert.deepEqual(bench.sent.length, 4);
  });

  test("catches up after an outage as the schedule says, and tells of what was missed", async (t) => {
    const policies = { all: ["12:10:00", "12:20:00", "12:30:00"], last: ["12:30:00"], none: [] };
    for (const [missedRuns, expected] of Object.entries(policies) as [keyof typeof policies, string[]][]) {
      const bench = new Bench(t);
      const schedule = every("10 minutes", { missedRuns });
      await (await bench.start(schedule)).stop();
      await bench.pass(35 * MINUTE);
      const overdue = await listSchedules(await bench.messenger(schedule));
      assert.deepEqual([overdue[0]?.status, overdue[0]?.overdueMs], ["overdue", 25 * MINUTE], "the alarm of one that does not run");
      const scheduler = await bench.start(schedule);
      assert.deepEqual(bench.sent, expected, missedRuns);
      await bench.pass(5 * MINUTE);
      assert.deepEqual(bench.sent, [...expected, "12:40:00"]);
      const [view] = await listSchedules(scheduler.messenger);
      assert.deepEqual([view?.missed, view?.runs, view?.status, view?.overdueMs], [3, expected.length + 1, "waiting", 0]);
      const counted = scheduler.messenger.meter.series().filter(({ name }) => name === METRICS.scheduleMissed.name);
      assert.equal(
        counted.reduce((sum, { value }) => sum + Number(value), 0),
        3,
      );
      await scheduler.stop();
    }
  });

  test("says in an event what was missed", async (t) => {
    const bench = new Bench(t);
    const schedule = every("10 minutes", { missedRuns: "none" });
    await (await bench.start(schedule)).stop();
    await bench.pass(35 * MINUTE);
    const scheduler = new Scheduler({ messenger: await bench.messenger(schedule) });
    const events: unknown[] = [];
    scheduler.on("schedule_missed", (event) => events.push(event));
    assert.equal(await scheduler.runDue(), 0);
    await scheduler.stop();
    assert.deepEqual(events, [{ schedule: "tick", firstDueAt: new Date(START + 10 * MINUTE), count: 3, isDispatched: false }]);
  });

  test("dispatches nothing while paused, and afterwards only what is due from then on", async (t) => {
    const bench = new Bench(t);
    const { messenger } = await bench.start(every("10 minutes", { missedRuns: "all" }));
    await bench.pass(5 * MINUTE);
    await pauseSchedule(messenger, "tick", true);
    await bench.pass(30 * MINUTE);
    assert.deepEqual(bench.sent, []);
    assert.deepEqual(
      (await listSchedules(messenger)).map(({ status, nextRunAt }) => [status, nextRunAt]),
      [["paused", null]],
    );
    await pauseSchedule(messenger, "tick", false);
    assert.equal((await listSchedules(messenger))[0]?.nextRunAt, "2026-11-25T12:40:00.000Z");
    await bench.pass(15 * MINUTE);
    assert.deepEqual(bench.sent, ["12:40:00", "12:50:00"]);
    assert.equal((await listSchedules(messenger))[0]?.missed, 0);
    await assert.rejects(pauseSchedule(messenger, "nobody", true), { code: "SCHEDULE_NOT_FOUND" });
  });

  test("tries again what failed, loses no due time, and shows why it fails", async (t) => {
    const bench = new Bench(t);
    let broken = true;
    const failures: string[] = [];
    const payload = ({ dueAt }: ScheduleRun): string => {
      if (broken) throw new Error("no rates today");
      return dueAt.toISOString().slice(11, 19);
    };
    const onFailure = (_run: ScheduleRun, error: unknown): void => {
      failures.push((error as Error).message);
      throw new Error("listeners may throw");
    };
    const { messenger } = await bench.start(every("10 minutes", { payload, onFailure }));
    await bench.pass(10 * MINUTE + 10_000);
    const [view] = await listSchedules(messenger);
    assert.deepEqual([view?.status, view?.lastError, bench.sent], ["failing", "no rates today", []]);
    assert.ok(failures.length >= 3 && failures.length <= 5, `${failures.length} tries in ten seconds`);
    broken = false;
    await bench.pass(4_000);
    assert.deepEqual(bench.sent, ["12:10:00"]);
    assert.deepEqual((await listSchedules(messenger))[0]?.lastError, null);
  });

  test("gives up a payload that takes for ever, and a late one sends nothing", async (t) => {
    const bench = new Bench(t);
    const errors: unknown[] = [];
    const scheduler = await bench.start(every("10 minutes", { payload: () => new Promise(() => undefined) }));
    scheduler.on("schedule_failed", ({ error }) => errors.push(error.code));
    await bench.pass(10 * MINUTE + 31_000);
    assert.deepEqual([errors, bench.sent], [["SCHEDULE_FAILED"], []]);
  });

  test("asks beforeRun and tells afterRun", async (t) => {
    const bench = new Bench(t);
    const told: string[] = [];
    const beforeRun = ({ dueAt }: ScheduleRun): boolean => dueAt.getUTCMinutes() !== 20;
    const afterRun = (_run: ScheduleRun, messageId: string): void => void told.push(messageId);
    const scheduler = await bench.start(every("10 minutes", { beforeRun, afterRun }));
    const leftOut: string[] = [];
    scheduler.on("schedule_left_out", ({ dueAt }) => leftOut.push(dueAt.toISOString()));
    await bench.pass(30 * MINUTE);
    assert.deepEqual([bench.sent, leftOut], [["12:10:00", "12:30:00"], ["2026-11-25T12:20:00.000Z"]]);
    assert.equal(told.length, 2);
  });

  test("takes a new definition when those who have the old one are gone, without doubling a due time", async (t) => {
    const bench = new Bench(t);
    const old = await bench.start(every("10 minutes"));
    await bench.start(every("15 minutes"));
    await bench.pass(21 * MINUTE);
    assert.deepEqual(bench.sent, ["12:10:00", "12:20:00"], "the old build still runs");
    await old.stop();
    await bench.pass(40 * MINUTE);
    assert.deepEqual(bench.sent.slice(2), ["12:30:00", "12:45:00", "13:00:00"]);
    await bench.start(every("10 minutes"));
    await bench.pass(14 * MINUTE);
    assert.deepEqual(bench.sent.slice(5), ["13:15:00"], "an old build that comes back does not take over");
  });

  test("waits for a store that is away, and catches up", async (t) => {
    const bench = new Bench(t);
    await bench.start(every("10 seconds"));
    const { schedules } = bench.transport;
    const { hold, advance } = schedules;
    const away = async (): Promise<never> => {
      throw new TransportError("TRANSPORT_UNAVAILABLE", "away");
    };
    Object.assign(schedules, { hold: away, advance: away });
    await bench.pass(45_000);
    assert.deepEqual(bench.sent, []);
    Object.assign(schedules, { hold, advance });
    await bench.pass(6_000);
    assert.deepEqual(bench.sent, ["12:00:10", "12:00:20", "12:00:30", "12:00:40", "12:00:50"]);
  });

  test("does nothing at all without schedules, and leaves nothing running when stopped", async (t) => {
    const bench = new Bench(t);
    const none = await bench.start();
    assert.equal(bench.runtime.clock.pending, 0);
    await none.stop();
    const scheduler = await bench.start(every("10 minutes"));
    await scheduler.stop();
    await scheduler.stop();
    assert.equal(bench.runtime.clock.pending, 0);
  });

  test("ends a schedule that is never due again", async (t) => {
    const bench = new Bench(t);
    const { messenger } = await bench.start(every("10 minutes", { until: "2026-11-25T12:15:00Z" }));
    await bench.pass(60 * MINUTE);
    const [view] = await listSchedules(messenger);
    assert.deepEqual([bench.sent, view?.status, view?.nextRunAt], [["12:10:00"], "ended", null]);
  });

  test("refuses a schedule whose message has no single transport that stores it", async () => {
    const config = { transports: { a: { dsn: "memory:" }, b: { dsn: "memory:" }, now: { dsn: "sync:" } }, routing: { "*": ["a", "b"] } };
    const scheduler = async (options: Partial<ScheduleOptions<unknown>>): Promise<Scheduler> =>
      new Scheduler({ messenger: await createMessenger({ ...config, schedules: [every("1 minute", options)] }) });
    await assert.rejects(scheduler({}), /several transports \(a, b\)/);
    await assert.rejects(scheduler({ transport: "now" }), { code: "CONFIG_INVALID" });
    await scheduler({ transport: "b" });
  });
});

describe("schedules by hand", () => {
  test("run at once, beside their due times, also while paused", async (t) => {
    const bench = new Bench(t);
    const { messenger } = await bench.start(every("10 minutes"));
    await pauseSchedule(messenger, "tick", true);
    await bench.pass(1_000);
    const { messageId, transport } = await runSchedule(messenger, "tick");
    assert.deepEqual([bench.sent, transport], [["12:00:01"], "default"]);
    const [view] = await listSchedules(messenger);
    assert.deepEqual([view?.lastMessageId, view?.runs, view?.lastDueAt, view?.status], [messageId, 1, null, "paused"]);
    await assert.rejects(runSchedule(messenger, "other"), { code: "SCHEDULE_NOT_FOUND" });
  });

  test("run before any worker knows them", async (t) => {
    const bench = new Bench(t);
    const messenger = await bench.messenger(every("10 minutes"));
    assert.deepEqual(
      (await listSchedules(messenger)).map(({ status, nextRunAt }) => [status, nextRunAt]),
      [["new", "2026-11-25T12:10:00.000Z"]],
    );
    await runSchedule(messenger, "tick");
    assert.equal(bench.sent.length, 1);
  });

  test("can be paused before any worker has seen them", async (t) => {
    const bench = new Bench(t);
    await pauseSchedule(await bench.messenger(every("10 minutes")), "tick", true);
    const { messenger } = await bench.start(every("10 minutes"));
    await bench.pass(15 * MINUTE);
    assert.deepEqual([bench.sent, (await listSchedules(messenger))[0]?.status], [[], "paused"]);
  });

  test("are listed with what comes next, those of other builds too, and can be removed", async (t) => {
    const bench = new Bench(t);
    const old = await bench.start(every("1 hour", {}, "old"), every("10 minutes"));
    await old.stop();
    const { messenger } = await bench.start(every("10 minutes"));
    const views = await listSchedules(messenger, { nextRuns: 3 });
    assert.deepEqual(
      views.map(({ name, isConfigured, trigger, type, nextRunsAt }) => ({
        name,
        isConfigured,
        trigger,
        type,
        times: nextRunsAt.map((at) => at.slice(11, 16)),
      })),
      [
        { name: "old", isConfigured: false, trigger: "every hour", type: "test.tick", times: ["13:00"] },
        { name: "tick", isConfigured: true, trigger: "every 10 minutes", type: "test.tick", times: ["12:10", "12:20", "12:30"] },
      ],
    );
    await removeSchedule(messenger, "old");
    assert.deepEqual(
      (await listSchedules(messenger)).map(({ name }) => name),
      ["tick"],
    );
    await assert.rejects(removeSchedule(messenger, "old"), { code: "SCHEDULE_NOT_FOUND" });
  });
});
