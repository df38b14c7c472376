import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import pg from "pg";
import { Note, Slow } from "../fixtures/messages.ts";
import { withAddress } from "../support/database.ts";
import { privateServer, proxyTo, testBed } from "../support/in-test.ts";
import { now } from "../support/journal.ts";
import { elapse } from "../support/test-bed.ts";

const FLAGS = ["--processes", "1", "--threads", "1", "--concurrency", "10"];

test("a database that crashes and comes back: the same processes go on, nothing is lost, finished work is not repeated", {
  timeout: 120_000,
}, async (t) => {
  const server = await privateServer(t);
  const bed = await testBed(t, { server });
  const fleet = await bed.startFleet({ flags: FLAGS });
  const pids = fleet.workerPids();
  const running = await bed.dispatchMany(Slow, 5, { sleepMs: 1_500 });
  await bed.dispatchMany(Note, 500, { sleepMs: 10 });
  await waitFor(() => running.every((value) => bed.started().has(value)));
  const over = bed.fault("restart");
  await server.restart("immediate");
  over();
  const backAt = now();
  await waitFor(() => bed.entries().some((entry) => entry.kind === "start" && entry.at > backAt), { timeoutMs: 10_000 });
  t.diagnostic(`receiving again ${Math.round(now() - backAt)} ms after the server accepted connections`);
  assert.ok(now() - backAt < 5_000);
  await bed.drained(60_000);
  const verdict = await bed.verdict();
  assert.deepEqual(verdict.violations, []);
  assert.equal(verdict.handled, verdict.accepted);
  assert.deepEqual(fleet.workerPids(), pids, "no process was restarted");
  for (const value of running) assert.equal(bed.started().get(value), 1, "a handler that outlived the outage is settled, not repeated");
});

test("connections that become half-open are replaced: work goes on within 10 s, and no process is restarted", {
  timeout: 120_000,
}, async (t) => {
  const server = await privateServer(t);
  const proxy = await proxyTo(t, server);
  const bed = await testBed(t, { server });
  const fleet = await bed.startFleet({ flags: FLAGS, dsn: withAddress(bed.database.connectionString, "127.0.0.1", proxy.port) });
  const pids = fleet.workerPids();
  await bed.dispatchMany(Note, 50);
  await bed.drained(20_000);
  const over = bed.fault("half-open", { overlap: true });
  proxy.blackHole();
  const brokenAt = now();
  const values = await bed.dispatchMany(Note, 100);
  await waitFor(() => values.some((value) => bed.ended().has(value)), { timeoutMs: 30_000 });
  over();
  t.diagnostic(`working again after ${Math.round(now() - brokenAt)} ms`);
  assert.ok(now() - brokenAt < 10_000, `${now() - brokenAt} ms`);
  await bed.drained(60_000);
  await elapse(500);
  const verdict = await bed.verdict({ settleWithinMs: 5_000 });
  assert.deepEqual(verdict.violations, []);
  assert.equal(verdict.handled, 150);
  assert.deepEqual(fleet.workerPids(), pids);
});

test("a transaction that nobody ends holds back its own message, and no other one's rescue", async (t) => {
  const bed = await testBed(t);
  const first = await bed.startFleet({ flags: FLAGS });
  // Too large for a bundle, since a transaction works on rows.
  const values = await bed.dispatchMany(Slow, 6, { sleepMs: 500, padding: "x".repeat(4_000) });
  await waitFor(() => values.every((value) => bed.started().has(value)));
  bed.faultNow("kill", { pids: first.workerPids() });
  first.process.signalGroup("SIGKILL");
  await first.process.waitForExit(5_000);
  // As it is left behind by a worker that has acknowledged in its transaction and whose COMMIT was lost on the way.
  const hanging = new pg.Client({ connectionString: bed.database.connectionString });
  // The bed drops its database, with whoever is connected, before a later hook of the test could end this connection.
  hanging.on("error", () => undefined);
  await hanging.connect();
  await hanging.query("BEGIN");
  const { rows } = await hanging.query<{ id: string }>(
    "DELETE FROM symphony.job WHERE id = (SELECT id FROM symphony.job WHERE state = 'active' ORDER BY id LIMIT 1) RETURNING id::text",
  );
  assert.equal(rows.length, 1);
  await bed.startFleet({ flags: FLAGS });
  await waitFor(async () => (await bed.unfinished()) === 1, { what: "the rescue of all others", timeoutMs: 20_000, intervalMs: 50 });
  await hanging.query("ROLLBACK");
  await hanging.end();
  await bed.drained(20_000);
  const verdict = await bed.verdict();
  assert.deepEqual(verdict.violations, []);
  assert.equal(verdict.handled, 6);
});
