import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { type Answered, CRON_SECRET, type Reply, startAdmin } from "./testing/admin.ts";

const resize = { type: "image.resize", payload: { url: "https://example.org/a.png", width: 200 } };

test("dispatches a message with 201, and with 200 when its key is known", async (t) => {
  const admin = await startAdmin(t);
  const body = { message: resize, options: { idempotencyKey: "k-1", priority: 9, scheduledAt: "2999-01-01T00:00:00Z" } };
  const late = await admin.call("POST", "/api/symphony/dispatch", { body });
  assert.equal(late.status, 400);
  assert.deepEqual(
    late.body.errors.map((each: { path: string }) => each.path),
    ["options.scheduledAt"],
  );
  const scheduledAt = new Date(Date.now() + 3_600_000).toISOString();
  const sent = await admin.call("POST", "/api/symphony/dispatch", { body: { ...body, options: { ...body.options, scheduledAt } } });
  assert.equal(sent.status, 201);
  const { messageId, ...rest } = sent.body;
  assert.match(messageId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { success: true, transport: "default", queue: "images", scheduledAt, idempotencyKey: "k-1" });
  const again = await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize }, headers: { "idempotency-key": "k-1" } });
  assert.equal(again.status, 200);
  assert.equal(again.body.messageId, messageId);
  const other = { message: { ...resize, payload: { ...resize.payload, width: 1 } } };
  const conflict = await admin.call("POST", "/api/symphony/dispatch", { body: other, headers: { "idempotency-key": "k-1" } });
  assert.deepEqual([conflict.status, conflict.body.code], [409, "IDEMPOTENCY_CONFLICT"]);
});

test("takes every option that says how a message is sent, and answers 200 for one that is pending", async (t) => {
  const admin = await startAdmin(t);
  const dispatch = (options: object) => admin.call("POST", "/api/symphony/dispatch", { body: { message: resize, options } });
  const options = { delayMs: 60_000, expiresInMs: 5_000, deduplicate: "a", partitionKey: "acme", bus: "default", headers: { a: "b" } };
  const first = await dispatch(options);
  assert.equal(first.status, 201, JSON.stringify(first.body));
  const second = await dispatch(options);
  assert.deepEqual([second.status, second.body.messageId], [200, first.body.messageId]);
  for (const [wrong, code] of [
    [{ bus: "nowhere" }, 400],
    [{ expiresAt: "2020-01-01T00:00:00Z" }, 400],
    [{ deduplicate: "" }, 400],
    [{ transaction: {} }, 400],
  ] as const)
    assert.equal((await dispatch(wrong)).status, code, JSON.stringify(wrong));
});

test("refuses a message and names every issue with its path", async (t) => {
  const admin = await startAdmin(t);
  const body = { message: { type: "image.resize", payload: {}, extra: 1 }, options: { priority: 11, queue: "../x", foo: true }, more: 1 };
  const { status, headers, body: problem } = await admin.call("POST", "/api/symphony/dispatch", { body });
  assert.equal(status, 400);
  assert.match(headers.get("content-type") ?? "", /^application\/problem\+json/);
  assert.deepEqual(Object.keys(problem).sort(), ["code", "detail", "errors", "requestId", "status", "title", "type"]);
  assert.deepEqual(problem.errors.map((each: { path: string }) => each.path).sort(), [
    "message.extra",
    "more",
    "options.foo",
    "options.priority",
    "options.queue",
  ]);
  const payload = await admin.call("POST", "/api/symphony/dispatch", {
    body: { message: { type: "image.resize", payload: { width: "1" } } },
  });
  assert.deepEqual([payload.status, payload.body.code], [400, "PAYLOAD_INVALID"]);
  assert.deepEqual(payload.body.errors.map((each: { path: string }) => each.path).sort(), ["message.payload.url", "message.payload.width"]);
});

test("answers 422 for a message type nobody registered, 404 for an unknown transport or queue", async (t) => {
  const admin = await startAdmin(t);
  const dispatch = (message: object, options: object = {}) => admin.call("POST", "/api/symphony/dispatch", { body: { message, options } });
  const unknown = await dispatch({ type: "image.rezise", payload: {} });
  assert.deepEqual([unknown.status, unknown.body.code], [422, "MESSAGE_TYPE_UNKNOWN"]);
  assert.match(unknown.body.detail, /did you mean "image\.resize"/);
  const transport = await dispatch(resize, { transport: "nowhere" });
  assert.deepEqual([transport.status, transport.body.code], [404, "TRANSPORT_NOT_FOUND"]);
  const queue = await dispatch(resize, { queue: "nowhere" });
  assert.deepEqual([queue.status, queue.body.code], [404, "QUEUE_NOT_FOUND"]);
});

test("shows status, queues, workers and scaling of what is there", async (t) => {
  const admin = await startAdmin(t);
  for (let i = 0; i < 3; i++) await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize } });
  const { body: status } = await admin.call("GET", "/api/symphony/status?transport=default");
  assert.deepEqual(status.queue, { depth: 3, pending: 3, processing: 0, completed: 0, failed: 0 });
  assert.deepEqual([status.failedMessages, status.scheduledMessages, status.stale, status.accuracy], [0, 0, false, "exact"]);
  assert.ok(status.oldestPendingAgeMs >= 0);
  assert.deepEqual(status.queues.map((row: { queue: string }) => row.queue).sort(), ["default", "images"]);
  const { body: queues } = await admin.call("GET", "/api/symphony/queues");
  assert.equal(queues.queues.find((row: { queue: string }) => row.queue === "images").ready, 3);
  const { body: workers } = await admin.call("GET", "/api/symphony/workers");
  assert.deepEqual(workers.workers, []);
  const { body: scaling } = await admin.call("GET", "/api/symphony/scaling?queues=images");
  assert.deepEqual([scaling.ready, scaling.active, scaling.backlog], [3, 0, 3]);
  assert.deepEqual(scaling.queues, { images: { ready: 3, active: 0, backlog: 3 } });
  const { status: missing } = await admin.call("GET", "/api/symphony/scaling?queues=images,__proto__");
  assert.equal(missing, 404);
});

test("consumes until the queue is empty and says what was done", async (t) => {
  const admin = await startAdmin(t);
  await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize } });
  await admin.call("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload: null } } });
  const { status, body } = await admin.call("POST", "/api/symphony/consume");
  assert.equal(status, 200);
  const { averageProcessingTime, ...stats } = body.stats;
  assert.ok(averageProcessingTime >= 0);
  assert.deepEqual([stats.totalProcessed, stats.totalSucceeded, stats.totalFailed, stats.currentQueueDepth], [2, 1, 1, 0]);
  assert.deepEqual([body.success, body.health.running, body.health.processing], [true, false, 0]);
  const { body: workers } = await admin.call("GET", "/api/symphony/workers");
  assert.deepEqual(workers.workers, [], "the worker has signed off");
});

test("runs the cron endpoint with GET and POST under the limits of the environment", async (t) => {
  const admin = await startAdmin(t, { environment: { SYMPHONY_WORKER_MESSAGE_LIMIT: "1" } });
  for (let i = 0; i < 3; i++) await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize } });
  for (const method of ["GET", "POST"]) {
    const { status, body } = await admin.call(method, "/api/cron/symphony-worker", { token: CRON_SECRET });
    assert.equal(status, 200);
    assert.equal(body.stats.totalProcessed, 1);
    assert.equal(body.stats.stopReason, "message_limit");
  }
});

test("does not consume without handlers, which would give up on every message", async (t) => {
  const admin = await startAdmin(t, { handlers: false });
  await admin.call("POST", "/api/symphony/dispatch", { body: { message: resize } });
  const { status, body } = await admin.call("POST", "/api/symphony/consume");
  assert.deepEqual([status, body.code], [422, "HANDLER_NOT_FOUND"]);
  assert.equal(await admin.transport.getQueueDepth(), 1);
});

test("lists, shows, retries and removes failed messages", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  const { body: list } = await admin.call("GET", "/api/symphony/failed");
  assert.deepEqual(list.pagination, { total: 1, limit: 50, offset: 0, hasMore: false, nextCursor: null, accuracy: "exact" });
  const [message] = list.messages;
  assert.deepEqual([message.id, message.type, message.queue, message.reason], [id, "test.fail", "images", "unrecoverable"]);
  const { body: shown } = await admin.call("GET", `/api/symphony/failed/${id.toUpperCase()}`);
  assert.deepEqual(shown, { success: true, message });
  const retried = await admin.call("POST", `/api/symphony/failed/${id}/retry`);
  assert.equal(retried.status, 200);
  assert.deepEqual(retried.body, { success: true, messageId: id, newMessageId: id, transport: "default", queue: "images" });
  assert.equal((await admin.call("POST", `/api/symphony/failed/${id}/retry`)).status, 404);
  await admin.call("POST", "/api/symphony/consume");
  const removed = await admin.call("DELETE", `/api/symphony/failed/${id}`);
  assert.deepEqual([removed.status, removed.body], [200, { success: true, messageId: id }]);
  const gone = await admin.call("GET", `/api/symphony/failed/${id}`);
  assert.deepEqual([gone.status, gone.body.code], [404, "DEAD_LETTER_NOT_FOUND"]);
  assert.equal((await admin.call("DELETE", `/api/symphony/failed/${randomUUID()}`)).status, 404);
});

test("finds failed messages by each filter", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  const { body } = await admin.call("GET", `/api/symphony/failed/${id}`);
  const found = async (query: string): Promise<number> => (await admin.call("GET", `/api/symphony/failed?${query}`)).body.messages.length;
  const past = "2020-01-01T00:00:00Z";
  for (const query of [
    "type=test.fail",
    "queue=images",
    `since=${past}`,
    `fingerprint=${body.message.fingerprint}`,
    "transport=default",
    "search=CANNOT%20work",
  ])
    assert.equal(await found(query), 1, query);
  for (const query of ["type=test.ping", "queue=default", `until=${past}`, "fingerprint=0123456789abcdef", "search=100%25"])
    assert.equal(await found(query), 0, query);
});

test("groups failed messages by fingerprint", async (t) => {
  const admin = await startAdmin(t);
  const ids = [await admin.fail(), await admin.fail()];
  const { body } = await admin.call("GET", "/api/symphony/failed/groups?transport=default&type=test.fail");
  const { body: shown } = await admin.call("GET", `/api/symphony/failed/${ids[1]}`);
  const { fingerprint, failedAt } = shown.message;
  assert.deepEqual([body.success, body.transport, body.hasMore, body.groups.length], [true, "default", false, 1]);
  const [group] = body.groups;
  assert.deepEqual([group.fingerprint, group.count, group.accuracy], [fingerprint, 2, "exact"]);
  assert.deepEqual([group.type, group.queue, group.reason, group.lastId], ["test.fail", "images", "unrecoverable", ids[1]]);
  assert.deepEqual([group.error.name, group.error.message, group.lastFailedAt], ["UnrecoverableError", "it cannot work", failedAt]);
  const none = await admin.call("GET", "/api/symphony/failed/groups?queue=default");
  assert.deepEqual(none.body.groups, []);
  assert.equal((await admin.call("GET", "/api/symphony/failed/groups?limit=1001")).status, 400);
});

test("pages through a list by cursor, and takes no cursor that was altered or belongs elsewhere", async (t) => {
  const admin = await startAdmin(t);
  const ids = [await admin.fail(), await admin.fail(), await admin.fail()];
  const seen: string[] = [];
  let cursor: string | null = "";
  let first = "" as string;
  while (cursor !== null) {
    const { body }: Reply<Answered> = await admin.call("GET", `/api/symphony/failed?limit=1${cursor === "" ? "" : `&cursor=${cursor}`}`);
    seen.push(...body.messages.map((each: { id: string }) => each.id));
    cursor = body.pagination.nextCursor;
    if (first === "") first = cursor ?? "";
    assert.equal(body.pagination.hasMore, cursor !== null);
  }
  assert.deepEqual(seen, ids.toReversed());
  for (let i = 0; i < first.length; i++) {
    const altered: string = first.slice(0, i) + (first[i] === "A" ? "B" : "A") + first.slice(i + 1);
    const { status, body } = await admin.call("GET", `/api/symphony/failed?limit=1&cursor=${encodeURIComponent(altered)}`);
    assert.deepEqual([status, body.errors[0].path], [400, "cursor"], altered);
  }
  assert.equal((await admin.call("GET", `/api/symphony/failed?queue=images&cursor=${first}`)).status, 400);
});

test("lets one of many parallel retries win, and makes one message of them", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  const replies = await Promise.all(Array.from({ length: 50 }, () => admin.call("POST", `/api/symphony/failed/${id}/retry`)));
  assert.equal(replies.filter(({ status }) => status === 200).length, 1);
  assert.ok(replies.every(({ status }) => [200, 404, 409].includes(status)));
  assert.equal(await admin.transport.getQueueDepth(), 1);
});
