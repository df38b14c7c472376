import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedBed } from "./admin-bed.ts";

const bed = await sharedBed();

test("looks at the database over a few connections of its own, which refuse to change anything", async () => {
  await Promise.all(Array.from({ length: 20 }, () => bed.ask("GET", "/api/symphony/status")));
  const rows = await bed.database.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'symphony admin' AND datname = current_database()",
  );
  const count = rows[0]?.count ?? 0;
  assert.ok(count >= 1 && count <= 3, String(count));
  for (const path of ["queues", "workers", "schedules", "scaling", "failed", "failed/groups", "redrives", "audit"])
    assert.equal((await bed.ask("GET", `/api/symphony/${path}`)).status, 200, path);
});

test("shows the status while all other connections wait for a lock", async () => {
  const held = await bed.database.hold("LOCK TABLE symphony.messenger_audit IN SHARE MODE");
  let waiting: Promise<{ readonly status: number }>[] = [];
  try {
    waiting = Array.from({ length: 6 }, () => bed.ask("POST", "/api/symphony/queues/images/pause"));
    const startedAt = performance.now();
    for (let n = 0; n < 10; n += 1) {
      const { status, body } = await bed.ask("GET", "/api/symphony/status");
      assert.deepEqual([status, body.stale], [200, false]);
    }
    assert.ok(performance.now() - startedAt < 2_000);
  } finally {
    await held.release();
  }
  for (const { status } of await Promise.all(waiting)) assert.ok([200, 503].includes(status));
});

test("answers 503 within three seconds when a table is locked that it wants to look at", async () => {
  const held = await bed.database.hold("LOCK TABLE symphony.messenger_audit IN ACCESS EXCLUSIVE MODE");
  try {
    const startedAt = performance.now();
    const { status, body } = await bed.ask("GET", "/api/symphony/audit");
    assert.deepEqual([status, body.code], [503, "TRANSPORT_UNAVAILABLE"]);
    assert.ok(performance.now() - startedAt < 3_500);
  } finally {
    await held.release();
  }
  assert.equal((await bed.ask("GET", "/api/symphony/audit")).status, 200);
});
