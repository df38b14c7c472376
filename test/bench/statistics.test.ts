import assert from "node:assert/strict";
import { test } from "node:test";
import { median, ratioOf } from "./statistics.ts";

test("the median of an even number of values lies between the two in the middle", () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([3, 1, 2]), 2);
  assert.throws(() => median([]), /nothing/);
});

test("ratios are taken within a pair, never across", () => {
  // Across, the medians (20 and 10) would say 2: the machine was ten times slower during the last pair.
  assert.deepEqual(
    ratioOf([
      [30, 10],
      [20, 10],
      [1, 2],
    ]),
    { median: 2, min: 0.5, max: 3, pairs: 3 },
  );
});
