import assert from "node:assert/strict";
import { test } from "node:test";
import { Note } from "../fixtures/messages.ts";
import { readClaims } from "../support/audit-trigger.ts";
import { testBed } from "../support/in-test.ts";

test("two fleets share 20,000 messages: each one is handled exactly once", { timeout: 120_000 }, async (t) => {
  const bed = await testBed(t);
  await bed.dispatchMany(Note, 20_000);
  const flags = ["--processes", "1", "--threads", "1", "--concurrency", "50", "--batch-size", "100"];
  const fleets = await Promise.all([bed.startFleet({ flags }), bed.startFleet({ flags })]);
  await bed.drained(90_000);
  const verdict = await bed.verdict();
  assert.deepEqual(verdict.violations, []);
  assert.deepEqual([verdict.accepted, verdict.handled, verdict.duplicates.length], [20_000, 20_000, 0]);
  const byWorker = new Map<string | null, number>();
  for (const { worker } of await readClaims(bed.database)) byWorker.set(worker, (byWorker.get(worker) ?? 0) + 1);
  assert.equal(byWorker.size, 2, "both took part");
  assert.ok(Math.min(...byWorker.values()) > 1_000, `neither starved: ${[...byWorker.values()]}`);
  for (const fleet of fleets) fleet.process.signal("SIGTERM");
  for (const fleet of fleets) assert.equal((await fleet.process.waitForExit(5_000)).code, 0);
});
