import assert from "node:assert/strict";
import { test } from "node:test";
import { testBed } from "../support/in-test.ts";
import { objections, redriveTrial } from "./trial.ts";

// The full measure, 50,000 dead letters, is `npm run redrive`.
test("dead letters of three bugs: one group is redriven at its rate, killed in the middle and resumed, each exactly once", {
  timeout: 180_000,
}, async (t) => {
  const bed = await testBed(t, { audit: false });
  const options = { letters: 2_700, rate: 150 };
  const figures = await redriveTrial(bed, options);
  t.diagnostic(JSON.stringify({ groupsMs: figures.groupsMs, rates: figures.rates, doneWhenKilled: figures.doneWhenKilled }));
  assert.deepEqual(objections(figures, options), []);
});
