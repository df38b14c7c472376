import assert from "node:assert/strict";
import { test } from "node:test";
import { testBed } from "../support/in-test.ts";
import { killSchedulers } from "../support/kill-schedulers.ts";

/** Each of the eleven places where a run can be cut short, once; `npm run faults -- --only F60` does it a hundred times. */
const KILLS = 11;

test("a schedule whose process is killed at any statement of a run dispatches each due time once", { timeout: 120_000 }, async (t) => {
  const bed = await testBed(t);
  const result = await killSchedulers({ database: bed.database, processes: bed.processes, kills: KILLS });
  assert.deepEqual([result.lost, result.doubled], [[], []]);
  assert.equal(result.kills, KILLS);
  assert.ok(result.due > KILLS / 2, `${result.due} due times`);
  assert.equal(result.counted, result.dispatched);
});
