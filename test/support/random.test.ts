import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seeded } from "./random.ts";

test("a seed repeats its sequence, another seed gives another", () => {
  const draw = (seed: number): number[] => Array.from({ length: 20 }, seeded(seed).next);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
      assert.deepEqual(draw(seed), draw(seed));
      assert.notDeepEqual(draw(seed), draw(seed + 1));
    }),
  );
});

test("numbers fill their range evenly enough to reach every choice", () => {
  const random = seeded(7);
  const drawn = Array.from({ length: 1_000 }, () => random.integer(1, 6));
  assert.deepEqual([...new Set(drawn)].sort(), [1, 2, 3, 4, 5, 6]);
  assert.ok(random.subset([1, 2, 3], 0).length === 1, "a subset is never empty");
  assert.throws(() => random.pick([]), /nothing/);
});
