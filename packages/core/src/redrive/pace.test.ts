import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Pace } from "./pace.ts";

describe("the pace of a redrive", () => {
  test("is its rate, within a tenth, over any ten seconds of steps that take whatever time", () => {
    const anyRate = fc.double({ min: 1, max: 4_000, noNaN: true });
    const stepTimes = fc.array(fc.integer({ min: 0, max: 80 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(anyRate, stepTimes, (rate, times) => {
        const pace = new Pace(rate, 0);
        let [now, sent] = [0, 0];
        for (let i = 0; now < 10_000; i++) {
          const count = pace.allowance(now);
          pace.spend(count);
          sent += count;
          now += (times[i % times.length] ?? 0) + pace.pauseMs;
        }
        const seconds = now / 1_000;
        assert.ok(sent <= rate * seconds + 1, `${sent} in ${seconds} s`);
        assert.ok(sent >= rate * seconds * 0.9 - 2, `${sent} in ${seconds} s`);
      }),
    );
  });

  test("makes up for a slow step by no more than a second's worth", () => {
    const pace = new Pace(100, 0);
    assert.equal(pace.allowance(60_000), 100);
    pace.spend(100);
    assert.equal(pace.allowance(60_000), 0);
    assert.equal(pace.allowance(60_100), 10);
  });

  test("takes full steps without a pause when there is no rate", () => {
    const pace = new Pace(null, 0);
    for (let n = 0; n < 3; n++) {
      assert.equal(pace.allowance(0), 500);
      pace.spend(500);
      assert.equal(pace.pauseMs, 0);
    }
  });

  test("waits as long as the next one takes at a slow rate", () => {
    const pace = new Pace(0.1, 0);
    assert.equal(pace.allowance(0), 1);
    pace.spend(1);
    assert.equal(Math.round(pace.pauseMs), 10_000);
    assert.equal(pace.allowance(9_990), 0);
    assert.equal(pace.allowance(10_010), 1);
  });
});
