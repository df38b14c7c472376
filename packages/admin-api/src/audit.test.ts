import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createToken } from "./index.ts";
import { type Admin, type Answered, CRON_SECRET, startAdmin, TOKEN } from "./testing/admin.ts";

const records = async (admin: Admin): Promise<readonly Answered[]> => (await admin.call("GET", "/api/symphony/audit")).body.records;

test("remembers every action with who, what, how many and how it ended", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  await admin.call("POST", `/api/symphony/failed/${id}/retry`);
  await admin.call("POST", `/api/symphony/failed/${id}/retry`);
  await admin.call("GET", "/api/cron/symphony-worker", { token: CRON_SECRET });
  const seen = await records(admin);
  assert.deepEqual(
    seen.map(({ action, target, count, outcome, actor }) => [action, target, count, outcome, actor.kind, actor.name]),
    [
      ["consume", null, 0, "done", "cron", "CRON_SECRET"],
      ["retry", null, 0, "DEAD_LETTER_NOT_FOUND", "token", "SYMPHONY_AUTH_TOKEN"],
      ["retry", id, 1, "done", "token", "SYMPHONY_AUTH_TOKEN"],
      ["consume", null, 0, "done", "token", "SYMPHONY_AUTH_TOKEN"],
      ["dispatch", id, 1, "done", "token", "SYMPHONY_AUTH_TOKEN"],
    ],
  );
  assert.deepEqual(seen.at(-1).parameters, { type: "test.fail" });
  assert.ok(!JSON.stringify(seen).includes("canary"), "no payload");
  assert.ok(seen.every(({ requestId, actor }) => requestId !== null && /^[0-9a-f]{8}$/.test(actor.tokenId) && actor.address !== ""));
});

test("brings back what was removed, once", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  const { body: before } = await admin.call("GET", `/api/symphony/failed/${id}`);
  await admin.call("DELETE", `/api/symphony/failed/${id}`);
  const [removal] = await records(admin);
  assert.deepEqual([removal.action, removal.target, removal.undoable], ["remove", id, true]);
  const undone = await admin.call("POST", `/api/symphony/audit/${removal.id}/undo`);
  assert.deepEqual([undone.status, undone.body.restored, undone.body.conflicts], [200, 1, 0]);
  assert.deepEqual((await admin.call("GET", `/api/symphony/failed/${id}`)).body, before);
  const [record, removed] = await records(admin);
  assert.deepEqual([record.id, record.action, record.target, removed.undoable], [undone.body.auditId, "undo", removal.id, false]);
  const again = await admin.call("POST", `/api/symphony/audit/${removal.id}/undo`);
  assert.deepEqual([again.status, again.body.code], [409, "UNDO_IMPOSSIBLE"]);
  const unknown = await admin.call("POST", `/api/symphony/audit/${randomUUID()}/undo`);
  assert.deepEqual([unknown.status, unknown.body.code], [404, "AUDIT_NOT_FOUND"]);
});

test("remembers who tried what they may not", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "symphony-audit-"));
  t.after(() => rm(directory, { recursive: true }));
  const reader = createToken({ name: "reader", scopes: ["symphony:read"] });
  const tokensFile = join(directory, "tokens.json");
  await writeFile(tokensFile, JSON.stringify({ tokens: [reader.entry] }));
  const admin = await startAdmin(t, { auth: { token: TOKEN, tokensFile } });
  const id = await admin.fail();
  assert.equal((await admin.call("DELETE", `/api/symphony/failed/${id}`, { token: reader.token })).status, 403);
  assert.equal((await admin.call("DELETE", `/api/symphony/failed/${id}`, { token: "stranger" })).status, 401);
  const [refusal] = await records(admin);
  assert.deepEqual([refusal.action, refusal.outcome, refusal.actor.name], ["remove", "FORBIDDEN", "reader"]);
  assert.equal((await records(admin)).filter(({ action }) => action === "remove").length, 1, "strangers are in the log alone");
});

test("pages through the audit by a cursor that only its reader can use", async (t) => {
  const admin = await startAdmin(t);
  for (let n = 0; n < 5; n += 1)
    await admin.call("POST", "/api/symphony/dispatch", { body: { message: { type: "test.ping", payload: n } } });
  const ids: string[] = [];
  let cursor = "";
  do {
    const { body } = await admin.call("GET", `/api/symphony/audit?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
    ids.push(...body.records.map((record: { id: string }) => record.id));
    cursor = body.pagination.nextCursor ?? "";
  } while (cursor !== "");
  assert.deepEqual(ids, [...new Set(ids)].sort().reverse());
  assert.equal(ids.length, 5);
  assert.equal((await admin.call("GET", "/api/symphony/audit?cursor=x.y")).status, 400);
});
