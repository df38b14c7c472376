import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { Note, Slow } from "../fixtures/messages.ts";
import { readChanges } from "../support/audit-trigger.ts";
import { testBed } from "../support/in-test.ts";
import { now } from "../support/journal.ts";
import { allMessages } from "../support/messages.ts";
import { elapse, type TestBed } from "../support/test-bed.ts";

const ONE = ["--processes", "1", "--threads", "1"];

/** The worker's name in the database: what its claims carry. */
async function workerOf(bed: TestBed, known: readonly string[] = []): Promise<string> {
  const row = await waitFor(async () => {
    const rows = await bed.database.query<{ worker: string }>(
      "SELECT DISTINCT worker FROM symphony_audit.change WHERE new_state = 'active'",
    );
    return rows.find(({ worker }) => !known.includes(worker));
  });
  return row.worker;
}

test("SIGTERM, idle: exit code 0 within 2 s, and no connection is left", async (t) => {
  const bed = await testBed(t);
  const fleet = await bed.startFleet({ flags: ONE });
  fleet.process.signal("SIGTERM");
  const { code, afterMs } = await fleet.process.waitForExit(5_000);
  t.diagnostic(`ended after ${Math.round(afterMs)} ms`);
  assert.equal(code, 0);
  assert.ok(afterMs < 2_000, `${afterMs} ms`);
  const left = await bed.database.query(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'symphony%' AND application_name <> 'symphony-test' AND backend_start > now() - interval '1 hour' AND client_port IS NOT NULL",
  );
  // The test's own producer is connected too.
  assert.ok(left.length <= 3, JSON.stringify(left));
});

test("SIGTERM under load: what is in flight ends, nothing more is claimed, the rest is another fleet's at once", async (t) => {
  const bed = await testBed(t);
  const first = await bed.startFleet({ flags: [...ONE, "--concurrency", "20", "--batch-size", "100"] });
  await bed.dispatchMany(Note, 3_000, { sleepMs: 20 });
  await waitFor(() => bed.ended().size > 100);
  const worker = await workerOf(bed);
  // An idle thief: it would take at once whatever is let go too early.
  const thief = await bed.startFleet({ flags: [...ONE, "--concurrency", "20", "--batch-size", "100"] });
  await waitFor(() => bed.ended().size > 500);
  const signalledAt = now();
  first.process.signal("SIGTERM");
  const { code, afterMs } = await first.process.waitForExit(10_000);
  t.diagnostic(`ended after ${Math.round(afterMs)} ms`);
  assert.equal(code, 0);
  assert.ok(afterMs < 2_000, `handlers of 20 ms, and it took ${afterMs} ms`);
  await bed.drained(60_000);
  const verdict = await bed.verdict();
  assert.deepEqual(verdict.violations, []);
  assert.deepEqual([verdict.handled, verdict.duplicates.length], [3_000, 0], "every message once");
  const changes = await readChanges(bed.database);
  const late = changes.filter((change) => change.worker === worker && change.newState === "active" && change.at > signalledAt + 250);
  assert.deepEqual(late, [], "no claim after the signal");
  const returned = changes.filter((change) => change.worker === worker && change.newState === "retry");
  for (const { id, at } of returned) {
    const again = changes.find((change) => change.id === id && change.newState === "active" && change.at > at);
    assert.ok(again !== undefined && again.at - at < 1_000, `${id} waited ${again === undefined ? "for ever" : again.at - at} ms`);
  }
  t.diagnostic(`${returned.length} handed back and run elsewhere`);
  thief.process.signal("SIGTERM");
  assert.equal((await thief.process.waitForExit(5_000)).code, 0);
});

test("SIGTERM, handlers that outlast the timeout: exit within it plus 1 s, their messages elsewhere within 1 s, uncounted", async (t) => {
  const bed = await testBed(t);
  const first = await bed.startFleet({ flags: [...ONE, "--concurrency", "5", "--shutdown-timeout", "1"] });
  const values = await bed.dispatchMany(Slow, 5, { sleepMs: 15_000 });
  await waitFor(() => values.every((value) => bed.started().has(value)));
  const pids = first.workerPids();
  const second = await bed.startFleet({ flags: ["--processes", "1", "--threads", "1", "--concurrency", "5"] });
  const over = bed.fault("shutdown", { pids, overlap: true });
  first.process.signal("SIGTERM");
  const { code, afterMs } = await first.process.waitForExit(5_000);
  over();
  t.diagnostic(`ended after ${Math.round(afterMs)} ms`);
  assert.equal(code, 0);
  assert.ok(afterMs < 2_000, `${afterMs} ms`);
  const endedAt = now();
  await waitFor(() => values.every((value) => bed.started().get(value) === 2), { timeoutMs: 5_000 });
  const again = bed.entries().filter((entry) => entry.kind === "start" && second.workerPids().includes(entry.pid));
  assert.equal(again.length, 5);
  for (const entry of again) {
    assert.ok(entry.kind === "start" && entry.attempt === 1, "no attempt was spent");
    assert.ok("at" in entry && entry.at - endedAt < 1_000, "within a second of the exit");
  }
});

test("a second SIGTERM hands back at once: exit within 2 s although handlers would take 15", async (t) => {
  const bed = await testBed(t);
  const fleet = await bed.startFleet({ flags: [...ONE, "--concurrency", "5", "--shutdown-timeout", "30"] });
  const values = await bed.dispatchMany(Slow, 5, { sleepMs: 15_000 });
  await waitFor(() => values.every((value) => bed.started().has(value)));
  fleet.process.signal("SIGTERM");
  await elapse(500);
  assert.equal(fleet.process.exited, false, "the first signal waits for handlers");
  fleet.process.signal("SIGTERM");
  const { code, afterMs } = await fleet.process.waitForExit(5_000);
  t.diagnostic(`ended ${Math.round(afterMs)} ms after the second signal`);
  assert.equal(code, 0);
  assert.ok(afterMs < 2_000, `${afterMs} ms`);
  const rows = await bed.database.query<{ state: string; tries: unknown }>(
    `SELECT state, data -> 'tries' AS tries FROM ${allMessages()} WHERE name = 'slow'`,
  );
  assert.equal(rows.length, 5);
  for (const { state, tries } of rows) {
    assert.equal(state, "retry");
    assert.ok(tries === null || (tries as { failures: number }).failures === 0, `no failure is counted: ${JSON.stringify(tries)}`);
  }
});
