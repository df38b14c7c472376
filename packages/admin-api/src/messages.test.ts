import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { startAdmin } from "./testing/admin.ts";

const resize = { type: "image.resize", payload: { url: "https://example.org/a.png", width: 1 } };

test("tells where a message is: scheduled, waiting, cancelled, failed, unknown", async (t) => {
  const admin = await startAdmin(t);
  const send = async (options: object = {}): Promise<string> =>
    (await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize, options } })).body.messageId;
  const state = async (id: string) => (await admin.call("GET", `/api/symphony/messages/${id}`)).body.message;
  const waiting = await send();
  const { at, ...found } = await state(waiting);
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
  assert.deepEqual(found, {
    id: waiting,
    state: "waiting",
    transport: "default",
    queue: "images",
    type: "image.resize",
    priority: 5,
    workerId: null,
    cancelledBy: null,
  });
  const later = await send({ scheduledAt: new Date(Date.now() + 3_600_000).toISOString() });
  assert.equal((await state(later)).state, "scheduled");
  assert.equal((await state(await admin.fail())).state, "failed");
  assert.deepEqual(
    [(await state(waiting)).state, (await state(randomUUID())).state],
    ["unknown", "unknown"],
    "it was handled, and one that never was",
  );
});

test("cancels a message that waits, under the caller's name; again is a conflict, an unknown one is not found", async (t) => {
  const admin = await startAdmin(t);
  const { messageId } = (await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize } })).body;
  const cancelled = await admin.call("POST", `/api/symphony/messages/${messageId}/cancel`);
  assert.deepEqual(cancelled.body, {
    success: true,
    messageId,
    transport: "default",
    queue: "images",
    outcome: "removed",
    workerId: null,
  });
  const { message } = (await admin.call("GET", `/api/symphony/messages/${messageId}`)).body;
  assert.deepEqual([message.state, typeof message.cancelledBy], ["cancelled", "string"]);
  const again = await admin.call("POST", `/api/symphony/messages/${messageId}/cancel`);
  assert.deepEqual([again.status, again.body.code], [409, "CONFLICT"]);
  const unknown = await admin.call("POST", `/api/symphony/messages/${randomUUID()}/cancel`);
  assert.deepEqual([unknown.status, unknown.body.code], [404, "MESSAGE_NOT_FOUND"]);
  assert.equal((await admin.call("POST", "/api/symphony/messages/nonsense/cancel")).status, 400);
});
