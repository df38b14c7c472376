import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type ChildExit, restartDelayMs, wasProductive } from "./respawn.ts";

const broken: ChildExit = { at: 0, livedMs: 300, planned: false, productive: false };

describe("restartDelayMs", () => {
  test("doubles from 1 s to 30 s while children die without having done anything", () => {
    const delays = Array.from({ length: 8 }, (_, n) => restartDelayMs(Array.from({ length: n }, () => broken)));
    assert.deepEqual(delays, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test("restarts at once after a child that worked, lived long or was asked to go", () => {
    for (const good of [
      { ...broken, productive: true },
      { ...broken, livedMs: 10_000 },
      { ...broken, planned: true },
    ]) {
      assert.equal(restartDelayMs([broken, broken, good]), 0);
    }
  });

  test("stays from 0 to 30 s whatever happened", () => {
    const exit = fc.record({ at: fc.nat(), livedMs: fc.nat(), planned: fc.boolean(), productive: fc.boolean() });
    fc.assert(fc.property(fc.array(exit, { maxLength: 100 }), (exits) => restartDelayMs(exits) >= 0 && restartDelayMs(exits) <= 30_000));
  });
});

describe("wasProductive", () => {
  const fresh = { everRegistered: true, lastBeat: { processed: 0 } };

  test("counts a child that was killed by hand as soon as it was at work", () => {
    assert.equal(wasProductive(fresh, false), true);
    assert.equal(wasProductive({ ...fresh, everRegistered: false }, false), false, "it never began");
    assert.equal(wasProductive({ ...fresh, failure: new Error("no database") }, false), false, "it gave up itself");
  });

  test("counts one that may have died of its messages only by what it has done", () => {
    assert.equal(wasProductive(fresh, true), false);
    assert.equal(wasProductive({ ...fresh, lastBeat: { processed: 1 } }, true), true);
  });
});
