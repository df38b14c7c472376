import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import { type Answer, type AskOptions, SCOPES, sharedBed } from "./admin-bed.ts";
import { Document } from "./document.ts";

const makeToken = (queues: readonly string[]) => {
  const token = randomBytes(32).toString("base64url");
  const sha256 = createHash("sha256").update(token).digest("hex");
  return { token, entry: { name: `only-${queues.length}`, sha256, scopes: SCOPES, queues } };
};
/** All but the queue in which messages fail, and that one only. */
const narrow = makeToken(["default", "waits.*"]);
const images = makeToken(["images"]);
const bed = await sharedBed({ entries: [narrow.entry, images.entry] });
const document = await Document.of(bed);

const as = (token: string, method: string, path: string, o: AskOptions = {}): Promise<Answer> =>
  bed.ask(method, `/api/symphony/${path}`, { ...o, token });
const get = (path: string, token = narrow.token): Promise<Answer> => as(token, "GET", path);
const post = (path: string, body?: unknown, token = narrow.token): Promise<Answer> =>
  as(token, "POST", path, body === undefined ? {} : { body });
const refused = ({ status, body }: Answer): readonly unknown[] => [status, body.code];

test("answers the same for a message of another queue as for none at all", async () => {
  const id = await bed.fail();
  for (const each of [id, randomUUID()]) {
    assert.deepEqual(refused(await get(`failed/${each}`)), [404, "DEAD_LETTER_NOT_FOUND"]);
    assert.deepEqual(refused(await get(`messages/${each}`)), [404, "MESSAGE_NOT_FOUND"]);
    assert.deepEqual(refused(await post(`failed/${each}/retry`)), [404, "DEAD_LETTER_NOT_FOUND"]);
    assert.deepEqual(refused(await as(narrow.token, "DELETE", `failed/${each}`)), [404, "DEAD_LETTER_NOT_FOUND"]);
    assert.deepEqual(refused(await post(`messages/${each}/cancel`)), [404, "MESSAGE_NOT_FOUND"]);
  }
  const texts = await Promise.all([id, randomUUID()].map(async (each) => (await get(`failed/${each}`)).text.replaceAll(each, "ID")));
  assert.equal(new Set(texts.map((text) => text.replace(/"requestId":"[^"]*"/, ""))).size, 1);
  assert.equal((await get(`failed/${id}`, images.token)).status, 200);
  assert.equal((await get(`messages/${id}`, images.token)).body.message.state, "failed");
  assert.equal((await bed.ask("GET", `/api/symphony/failed/${id}`)).status, 200, "it is still there");
});

test("leaves other queues out of lists, counts, groups and totals", async () => {
  const [all, own] = [await bed.ask("GET", "/api/symphony/status"), await get("status")];
  assert.ok(all.body.failedMessages > 0 && all.body.queues.length >= 2);
  assert.deepEqual([own.body.failedMessages, own.body.queues.map(({ queue }: { queue: string }) => queue)], [0, ["default"]]);
  assert.deepEqual([all.body.access.tokens > 0, own.body.access], [true, undefined]);
  for (const path of ["queues", "scaling", "failed", "failed?queue=images", "failed/groups", "failed/groups?queue=images"]) {
    const { status, text } = await get(path);
    assert.equal(status, 200, path);
    assert.doesNotMatch(text, /images|image\.|test\.fail/, path);
  }
  assert.equal((await get("failed")).body.pagination.total, 0);
  assert.equal((await get("scaling?queues=images")).status, 404);
  assert.ok((await get("failed", images.token)).body.pagination.total > 0);
  assert.ok((await get("failed/groups", images.token)).body.groups.length > 0);
});

test("touches no other queue: not by name, not by a message, not by a selection", async () => {
  for (const each of ["images", "nowhere"]) {
    for (const verb of ["pause", "resume"]) assert.deepEqual(refused(await post(`queues/${each}/${verb}`)), [404, "QUEUE_NOT_FOUND"]);
    assert.deepEqual(refused(await post(`queues/${each}/purge`, { confirm: each, expectedCount: 0 })), [404, "QUEUE_NOT_FOUND"]);
    const sent = await post("dispatch", { message: { type: "test.ping", payload: 1 }, options: { queue: each } });
    assert.deepEqual(refused(sent), [404, "QUEUE_NOT_FOUND"]);
  }
  assert.equal(
    (await post("dispatch", { message: { type: "image.resize", payload: { url: "https://example.org", width: 1 } } })).status,
    404,
  );
  assert.deepEqual(refused(await post("workers/stop")), [403, "FORBIDDEN"]);
  const id = await bed.fail();
  for (const filter of [{}, { queue: "images" }, { ids: [id] }, { type: "test.fail" }]) {
    const { status, body } = await post("failed/retry", { filter });
    assert.deepEqual([status, body.redrive.matching], [202, 0], JSON.stringify(filter));
  }
  assert.deepEqual(refused(await post("failed/remove", {})), [400, "VALIDATION_FAILED"]);
  assert.equal((await post("failed/remove", { all: true })).body.redrive.matching, 0);
  assert.equal((await bed.ask("GET", `/api/symphony/failed/${id}`)).status, 200);
});

test("consumes from its own queues only", async () => {
  const sent = await bed.ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload: 1 } } });
  await post("dispatch", { message: { type: "test.ping", payload: 1 } });
  const { body } = await post("consume", { timeLimit: 5_000 });
  assert.deepEqual([body.stats.totalProcessed, body.stats.totalFailed], [1, 0]);
  assert.equal((await bed.ask("GET", `/api/symphony/messages/${sent.body.messageId}`)).body.message.state, "waiting");
  await bed.ask("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
});

test("shows redrives and records of what is its own, and undoes nothing else", async () => {
  const foreign = await bed.ask("POST", "/api/symphony/failed/retry", { body: { dryRun: true } });
  const own = await post("failed/retry", { dryRun: true });
  const id = await bed.fail();
  await bed.ask("DELETE", `/api/symphony/failed/${id}`);
  const removed = (await bed.ask("GET", "/api/symphony/audit?limit=1")).body.records[0].id;
  await bed.ask("POST", "/api/symphony/queues/default/pause");
  await bed.ask("POST", "/api/symphony/queues/default/resume");
  const ids = (await get("redrives?limit=200")).body.redrives.map((each: { id: string }) => each.id);
  assert.deepEqual([ids.includes(own.body.redrive.id), ids.includes(foreign.body.redrive.id)], [true, false]);
  assert.equal((await get(`redrives/${own.body.redrive.id}`)).status, 200);
  assert.equal((await get(`redrives/${foreign.body.redrive.id}`)).status, 404);
  for (const verb of ["pause", "resume", "cancel"])
    assert.deepEqual(refused(await post(`redrives/${foreign.body.redrive.id}/${verb}`)), [404, "REDRIVE_NOT_FOUND"]);
  const { records } = (await get("audit?limit=200")).body;
  for (const { actor, action, target } of records)
    assert.ok(
      actor.name === narrow.entry.name || (["pause", "resume"].includes(action) && target === "default"),
      `${actor.name} ${action}`,
    );
  assert.ok(records.some(({ actor }: { actor: { name: string } }) => actor.name !== narrow.entry.name));
  assert.deepEqual(refused(await post(`audit/${removed}/undo`)), [404, "AUDIT_NOT_FOUND"]);
  assert.equal((await bed.ask("POST", `/api/symphony/audit/${removed}/undo`)).status, 200);
});

test("undoes what it has removed itself", async () => {
  const id = await bed.fail();
  assert.equal((await as(images.token, "DELETE", `failed/${id}`)).status, 200);
  const { body } = await get("audit?limit=1", images.token);
  assert.deepEqual([body.records[0].action, body.records[0].target], ["remove", id]);
  assert.equal((await post(`audit/${body.records[0].id}/undo`, undefined, images.token)).body.restored, 1);
});

test("leaves nothing of another queue in any answer that a GET of the document gives", async () => {
  await bed.fail();
  for (const operation of document.operations.filter(({ method, scope }) => method === "GET" && scope !== "cron secret")) {
    if (operation.path.includes("{") || !operation.path.startsWith("/api/")) continue;
    const answer = await bed.ask("GET", operation.path, { token: narrow.token });
    document.check(operation, answer);
    assert.equal(answer.status, 200, operation.path);
    // What it has asked for itself is told in its own records.
    const text = operation.id === "listAudit" || operation.id === "listRedrives" ? "" : answer.text;
    assert.doesNotMatch(text, /images|image\.resize|test\.fail/, operation.path);
  }
});
