import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { type Clock, createIdGenerator, systemClock, systemRuntime } from "./clock.ts";
import { createSignals } from "./testing/index.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const clockAt = (now: () => number): Clock => ({ now, monotonic: now, schedule: () => ({ cancel: () => {} }) });

describe("the id generator", () => {
  test("makes UUIDv7 that rise strictly, however the clock goes", () => {
    const start = Date.UTC(2026, 0, 1);
    const steps = fc.array(fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -5000, max: 5000 })), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (moves) => {
        let now = start;
        const newId = createIdGenerator(clockAt(() => now));
        let last = "";
        for (const move of moves) {
          now += move;
          const id = newId();
          assert.match(id, UUID_V7);
          assert.ok(id > last, `${id} after ${last}`);
          last = id;
        }
      }),
    );
  });

  test("rises past the end of its sequence within one millisecond", () => {
    const newId = createIdGenerator(clockAt(() => 1_767_225_600_000));
    let last = "";
    for (let n = 0; n < 10_000; n++) {
      const id = newId();
      assert.ok(id > last);
      last = id;
    }
    // 4096 ids per millisecond: the third borrowed one is in use.
    assert.equal(Number.parseInt(last.replaceAll("-", "").slice(0, 12), 16), 1_767_225_600_002);
  });

  test("goes on from the latest time when the clock steps back a year", () => {
    let now = 1_767_225_600_000;
    const newId = createIdGenerator(clockAt(() => now));
    const before = newId();
    now -= 365 * 86_400_000;
    assert.ok(newId() > before);
  });

  test("carries its time and is never the same twice", () => {
    const ids = Array.from({ length: 20_000 }, () => systemRuntime.newId());
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual([...ids].sort(), ids);
    const time = Number.parseInt((ids[0] as string).replaceAll("-", "").slice(0, 12), 16);
    assert.ok(Math.abs(time - systemClock.now()) < 60_000);
  });
});

describe("the system clock", () => {
  test("counts from the same point in every thread and process of a machine", async () => {
    const print = `import { systemClock } from ${JSON.stringify(new URL("./clock.ts", import.meta.url).href)}; console.log(systemClock.monotonic());`;
    const before = systemClock.monotonic();
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", print]);
    const after = systemClock.monotonic();
    assert.ok(Number(stdout) > before && Number(stdout) < after, `${before} < ${stdout.trim()} < ${after}`);
  });

  test("calls once, not before its time, and not after a cancel", async () => {
    const signals = createSignals<{ fired: string }>();
    const start = systemClock.monotonic();
    const cancelled = systemClock.schedule(5, () => signals.emit("fired", "cancelled"));
    systemClock.schedule(20, () => signals.emit("fired", "due"));
    cancelled.cancel();
    cancelled.cancel();
    assert.equal(await signals.next("fired"), "due");
    assert.ok(systemClock.monotonic() - start >= 19);
    assert.equal(signals.count("fired"), 1);
  });

  test("does not fire at once for a delay that Node's timers cannot hold", async () => {
    const signals = createSignals<{ fired: string }>();
    const timers = [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER].map((delayMs) =>
      systemClock.schedule(delayMs, () => signals.emit("fired", "far")),
    );
    systemClock.schedule(20, () => signals.emit("fired", "near"));
    assert.equal(await signals.next("fired"), "near");
    for (const timer of timers) timer.cancel();
    assert.equal(signals.count("fired"), 1);
  });

  test("calls at once for a delay of nothing or less", async () => {
    const signals = createSignals<{ fired: undefined }>();
    systemClock.schedule(-5, () => signals.emit("fired"));
    systemClock.schedule(0, () => signals.emit("fired"));
    await Promise.all([signals.next("fired"), signals.next("fired")]);
  });
});
