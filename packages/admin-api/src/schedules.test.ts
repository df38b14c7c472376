import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryTransport, defineMessage, defineSchedule } from "@symphony/core";
import { Ping, startAdmin } from "./testing/admin.ts";

const Report = defineMessage("report.nightly", { queue: "reports" });
const nightly = defineSchedule("nightly", { message: Report, cron: "30 3 * * *", timeZone: "Europe/Berlin", payload: { kind: "full" } });

test("lists schedules with their next runs, pauses, resumes and runs them, each with a record", async (t) => {
  const transport = createMemoryTransport();
  const admin = await startAdmin(t, { transport, schedules: [nightly] });
  const listed = async () => (await admin.call("GET", "/api/symphony/schedules?next=3")).body.schedules;
  const [before] = await listed();
  assert.deepEqual([before.name, before.trigger, before.status], ["nightly", "cron 30 3 * * * (Europe/Berlin)", "new"]);
  assert.equal(before.nextRunsAt.length, 3);
  for (const at of before.nextRunsAt) assert.match(at, /T0[12]:30:00\.000Z$/);

  const paused = await admin.call("POST", "/api/symphony/schedules/nightly/pause");
  assert.deepEqual(paused.body, { success: true, schedule: "nightly", transport: "default", paused: true });
  assert.equal((await listed())[0].status, "paused");

  const ran = await admin.call("POST", "/api/symphony/schedules/nightly/run");
  assert.equal(ran.status, 201);
  const [sent] = transport.getSent();
  assert.deepEqual(sent?.message, { type: "report.nightly", payload: { kind: "full" } });
  const [after] = await listed();
  assert.deepEqual([after.lastMessageId, after.runs, after.lastDueAt], [ran.body.messageId, 1, null]);

  assert.equal((await admin.call("POST", "/api/symphony/schedules/nightly/resume")).body.paused, false);
  assert.equal((await listed())[0].status, "waiting");
  const { body } = await admin.call("GET", "/api/symphony/audit");
  assert.deepEqual(
    body.records.map(({ action, target }: { action: string; target: string }) => [action, target]),
    [
      ["schedule.resume", "nightly"],
      ["schedule.run", "nightly"],
      ["schedule.pause", "nightly"],
    ],
  );
});

test("a request to consume dispatches what is due and works it off, as a timer needs it that calls now and then", async (t) => {
  const transport = createMemoryTransport();
  const often = defineSchedule("often", { message: Ping, every: 100, missedRuns: "all" });
  const admin = await startAdmin(t, { transport, schedules: [often] });
  const consume = async (): Promise<number> => (await admin.call("POST", "/api/symphony/consume")).body.stats.totalProcessed;
  assert.equal(await consume(), 0, "it is due from now on");
  const { now, schedules } = await transport.schedules.list();
  const [state] = schedules;
  assert.ok(state !== undefined && state.holder === null, "the lease is given up with the request");
  const runAt = Math.floor(now / 100) * 100 - 400;
  await transport.schedules.advance({ name: "often", revision: state.revision, dueAt: runAt, runAt });
  assert.ok((await consume()) >= 5);
});

test("removes a schedule that no configuration has any more, and knows no others", async (t) => {
  const transport = createMemoryTransport();
  const old = { name: "old", definition: "d", text: "every hour", type: "x", missedAfterMs: 60_000, dueAt: null, runAt: null };
  await transport.schedules.put(old, null);
  const admin = await startAdmin(t, { transport });
  assert.equal((await admin.call("GET", "/api/symphony/schedules")).body.schedules[0].isConfigured, false);
  assert.equal((await admin.call("DELETE", "/api/symphony/schedules/old")).status, 200);
  for (const [method, path] of [
    ["DELETE", "old"],
    ["POST", "old/run"],
    ["POST", "old/pause"],
    ["POST", "old/resume"],
  ] as const) {
    const refused = await admin.call(method, `/api/symphony/schedules/${path}`);
    assert.deepEqual([refused.status, refused.body.code], [404, "SCHEDULE_NOT_FOUND"], path);
  }
  assert.equal((await admin.call("POST", "/api/symphony/schedules/..%2Fx/run")).status, 400);
});
