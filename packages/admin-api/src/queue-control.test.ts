import assert from "node:assert/strict";
import { test } from "node:test";
import { startAdmin } from "./testing/admin.ts";

const dispatch = { body: { message: { type: "image.resize", payload: { url: "https://example.org/a.png", width: 1 } } } };

test("pauses a queue for the consumers, shows it, and resumes it", async (t) => {
  const admin = await startAdmin(t);
  const paused = await admin.call("POST", "/api/symphony/queues/images/pause");
  assert.deepEqual(paused.body, { success: true, transport: "default", queue: "images", paused: true });
  await admin.call("POST", "/api/symphony/dispatch", dispatch);
  const consumed = await admin.call("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
  assert.equal(consumed.body.stats.totalProcessed, 0);
  const find = async (): Promise<unknown> => {
    const { body } = await admin.call("GET", "/api/symphony/queues");
    const { paused, pausedTypes, ready } = body.queues.find((each: { queue: string }) => each.queue === "images");
    return { paused, pausedTypes, ready };
  };
  assert.deepEqual(await find(), { paused: true, pausedTypes: [], ready: 1 });
  const [pause] = await (admin.transport as unknown as { listPauses(): Promise<{ pausedBy: string }[]> }).listPauses();
  assert.equal(typeof pause?.pausedBy, "string", "recorded by name");
  assert.equal((await admin.call("POST", "/api/symphony/queues/images/resume")).body.paused, false);
  assert.equal((await admin.call("POST", "/api/symphony/queues/images/resume")).status, 200, "twice is harmless");
  const again = await admin.call("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
  assert.equal(again.body.stats.totalProcessed, 1);
});

test("pauses one type of a queue", async (t) => {
  const admin = await startAdmin(t);
  await admin.call("POST", "/api/symphony/queues/images/pause", { body: { type: "test.fail" } });
  await admin.call("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload: null } } });
  await admin.call("POST", "/api/symphony/dispatch", dispatch);
  const consumed = await admin.call("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
  assert.deepEqual([consumed.body.stats.totalSucceeded, consumed.body.stats.totalFailed], [1, 0]);
  const { body } = await admin.call("GET", "/api/symphony/status");
  assert.deepEqual(body.queues.find((each: { queue: string }) => each.queue === "images").pausedTypes, ["test.fail"]);
});

test("purges only with the queue's name and the count of what waits; else 409 with the real count, nothing removed", async (t) => {
  const admin = await startAdmin(t);
  for (let n = 0; n < 3; n++) await admin.call("POST", "/api/symphony/dispatch", dispatch);
  const purge = (body?: object) => admin.call("POST", "/api/symphony/queues/images/purge", body === undefined ? {} : { body });
  const refused = [
    undefined,
    {},
    { confirm: "images" },
    { expectedCount: 3 },
    { confirm: "default", expectedCount: 3 },
    { confirm: "images", expectedCount: 2 },
    { confirm: "images", expectedCount: 4 },
  ];
  for (const body of refused) {
    const answer = await purge(body);
    assert.equal(answer.status, 409, JSON.stringify(body));
    assert.match(answer.body.detail, /^3 messages wait in queue "images"/);
  }
  const wrongTypes = [
    { confirm: true, expectedCount: 3 },
    { confirm: "images", expectedCount: "3" },
    { confirm: "images", expectedCount: -1 },
  ];
  for (const body of wrongTypes) assert.equal((await purge(body)).status, 400);
  assert.deepEqual((await purge({ confirm: "images", expectedCount: 3 })).body, {
    success: true,
    transport: "default",
    queue: "images",
    removed: 3,
  });
});

test("answers 404 for a queue that does not exist", async (t) => {
  const admin = await startAdmin(t);
  for (const action of ["pause", "resume", "purge"]) {
    const { status, body } = await admin.call("POST", `/api/symphony/queues/nowhere/${action}`);
    assert.deepEqual([status, body.code], [404, "QUEUE_NOT_FOUND"], action);
  }
});
