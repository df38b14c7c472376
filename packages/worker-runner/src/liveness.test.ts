import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assess, type Vitals } from "./liveness.ts";

const WELL: Vitals = {
  wanted: 4,
  living: 4,
  restarting: 0,
  ready: 4,
  everReady: true,
  stopping: false,
  paused: false,
  crashLoop: 0,
  lastBootError: null,
  leaseAgeMs: 1_000,
};

/** Name, what differs from a fleet that is well, and whether it lives, is ready, has started. */
const TABLE: readonly (readonly [string, Partial<Vitals>, boolean, boolean, boolean])[] = [
  ["all is well", {}, true, true, true],
  ["nothing is up yet", { living: 4, ready: 0, everReady: false, leaseAgeMs: null }, true, false, false],
  ["waiting for the database at the start", { ready: 0, everReady: false, leaseAgeMs: null }, true, false, false],
  ["one worker is missing and will be started again", { living: 3, restarting: 1, ready: 3 }, true, true, true],
  ["one worker is silent", { ready: 3 }, true, true, true],
  ["one of four is left", { living: 1, restarting: 3, ready: 1 }, true, true, true],
  ["all wait to be started again", { living: 0, restarting: 4, ready: 0 }, true, false, true],
  ["none lives and none will be started", { living: 0, restarting: 0, ready: 0 }, false, false, true],
  ["all live, none receives", { ready: 0 }, true, false, true],
  ["the database has been away for 8 s", { leaseAgeMs: 8_000 }, true, true, true],
  ["the database has been away for 10 s", { leaseAgeMs: 10_000 }, true, false, true],
  ["the database has been away for ten minutes", { leaseAgeMs: 600_000, ready: 0 }, true, false, true],
  ["stopping, handlers still run", { stopping: true, ready: 2 }, true, false, true],
  ["stopping, all are gone", { stopping: true, living: 0, ready: 0 }, true, false, true],
  ["stopping out of a crash loop", { stopping: true, living: 0, ready: 0, crashLoop: 20 }, true, false, true],
  ["paused by hand", { paused: true }, true, true, true],
  ["a few starts came to nothing", { crashLoop: 5, living: 3, restarting: 1, ready: 3 }, true, true, true],
  ["a broken handler module from the start", { crashLoop: 11, living: 0, restarting: 4, ready: 0, everReady: false }, true, false, false],
  ["and for minutes", { crashLoop: 12, living: 0, restarting: 4, ready: 0, everReady: false }, false, false, false],
  ["one place loops, the others work", { crashLoop: 12, living: 3, restarting: 1, ready: 3 }, true, true, true],
  ["a single process is well", { wanted: 1, living: 1, ready: 1 }, true, true, true],
  ["no worker is wanted", { wanted: 0, living: 0, ready: 0, everReady: true }, true, true, true],
  ["more live than are wanted, during a replacement", { living: 5, ready: 5 }, true, true, true],
];

describe("assess", () => {
  for (const [name, difference, lives, ready, started] of TABLE) {
    test(name, () => {
      const passes = (probe: Parameters<typeof assess>[0]): boolean => assess(probe, { ...WELL, ...difference }).every(({ ok }) => ok);
      assert.deepEqual([passes("livez"), passes("readyz"), passes("startupz")], [lives, ready, started]);
    });
  }

  test("says why, also why nothing starts", () => {
    const details = assess("startupz", { ...WELL, everReady: false, lastBootError: "cannot find module" }).map(({ detail }) => detail);
    assert.deepEqual(details, ["no worker has been ready yet: cannot find module"]);
  });
});
