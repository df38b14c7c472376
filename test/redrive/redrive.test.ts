import assert from "node:assert/strict";
import { test } from "node:test";
import { testBed } from "../support/in-test.ts";
import { objections, redriveTrial } from "./trial.ts";

// The full measure, 50,000 dead letters, is `npm run redrive`.
test("dead letters of three bugs: one group is redriven at its rate, killed in the middle and resumed, each exactly once", {
  timeout: 180_000,
}, async (t) => {
  const bed = await testBed(t, { audit: false });
  // More than 10,000 of one bug: beyond that the command line knows only an estimate of their number.
  const options = { letters: 30_600, rate: 1_500 };
  const figures = await redriveTrial(bed, options);
  t.diagnostic(JSON.stringify({ groupsMs: figures.groupsMs, rates: figures.rates, doneWhenKilled: figures.doneWhenKilled }));
  assert.deepEqual(objections(figures, options), []);
});
