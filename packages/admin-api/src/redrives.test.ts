import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { type Admin, type Answered, startAdmin } from "./testing/admin.ts";

const POST = (admin: Admin, path: string, body?: unknown) =>
  admin.call("POST", `/api/symphony/${path}`, body === undefined ? {} : { body });
const GET = async (admin: Admin, path: string): Promise<Answered> => (await admin.call("GET", `/api/symphony/${path}`)).body;

/** Waits until a redrive is in this state; resolves with it. */
const reached = (admin: Admin, id: string, state: string): Promise<Answered> =>
  waitFor(
    async () => {
      const { redrive } = await GET(admin, `redrives/${id}`);
      return redrive.state === state ? redrive : undefined;
    },
    { timeoutMs: 15_000, what: `the redrive is ${state}` },
  );

test("retries what fits a filter as a redrive, and shows how far it is", async (t) => {
  const admin = await startAdmin(t);
  const ids = [await admin.fail(), await admin.fail(), await admin.fail()];
  const { fingerprint } = (await GET(admin, `failed/${ids[0]}`)).message;
  const made = await POST(admin, "failed/retry", { filter: { fingerprint, type: "test.fail" }, rate: 1_000, limit: 2 });
  assert.equal(made.status, 202);
  const { id, transport, action, state, matching, rate, limit, requestedBy } = made.body.redrive;
  assert.deepEqual([transport, action, state, matching, rate, limit], ["default", "retry", "running", 2, 1_000, 2]);
  assert.ok(requestedBy.length > 0);
  const done = await reached(admin, id, "done");
  assert.deepEqual([done.done, done.conflicts, await admin.transport.getQueueDepth()], [2, 0, 2]);
  const { redrives, pagination } = await GET(admin, "redrives?limit=10");
  assert.deepEqual([redrives, pagination.hasMore], [[done], false]);
  const { records } = await GET(admin, "audit");
  assert.deepEqual([records[0].action, records[0].target, records[0].parameters.fingerprint], ["retry", id, fingerprint]);
});

test("counts in a dry run and changes nothing; filter fields may stand beside it", async (t) => {
  const admin = await startAdmin(t);
  await admin.fail();
  const { status, body } = await POST(admin, "failed/retry", { queue: "images", dryRun: true });
  assert.deepEqual([status, body.redrive.state, body.redrive.dryRun, body.redrive.matching, body.redrive.done], [202, "done", true, 1, 0]);
  assert.equal((await POST(admin, "failed/retry", { queue: "default", dryRun: true })).body.redrive.matching, 0);
  assert.equal((await GET(admin, "failed")).pagination.total, 1);
});

test("removes many as a redrive, which can be undone; everything only when it is said", async (t) => {
  const admin = await startAdmin(t);
  await admin.fail();
  await admin.fail();
  const refused = await POST(admin, "failed/remove");
  assert.deepEqual([refused.status, refused.body.errors[0].path], [400, "all"]);
  const made = await POST(admin, "failed/remove", { all: true });
  const { id } = made.body.redrive;
  assert.equal((await reached(admin, id, "done")).done, 2);
  assert.equal((await GET(admin, "failed")).pagination.total, 0);
  const { records } = await GET(admin, "audit");
  const undone = await POST(admin, `audit/${records.find((record: { target: string }) => record.target === id).id}/undo`);
  assert.deepEqual([undone.status, undone.body.restored], [200, 2]);
  assert.equal((await GET(admin, "failed")).pagination.total, 2);
});

test("pauses, resumes and cancels a redrive", async (t) => {
  const admin = await startAdmin(t);
  for (let n = 0; n < 3; n++) await admin.fail();
  const { id } = (await POST(admin, "failed/retry", { rate: 0.1 })).body.redrive;
  await waitFor(async () => (await GET(admin, `redrives/${id}`)).redrive.done === 1, { timeoutMs: 10_000, what: "the first is sent" });
  assert.equal((await POST(admin, `redrives/${id}/pause`)).body.redrive.state, "paused");
  assert.equal((await POST(admin, `redrives/${id}/pause`)).body.redrive.state, "paused", "once more is harmless");
  assert.equal((await POST(admin, `redrives/${id}/resume`)).body.redrive.state, "running");
  const cancelled = await POST(admin, `redrives/${id}/cancel`);
  assert.deepEqual([cancelled.status, cancelled.body.redrive.state], [200, "cancelled"]);
  assert.equal((await POST(admin, `redrives/${id}/resume`)).body.redrive.state, "cancelled");
  assert.ok((await GET(admin, "failed")).pagination.total >= 1);
});

test("stops after its canaries when the bug is still there", async (t) => {
  const admin = await startAdmin(t);
  for (let n = 0; n < 4; n++) await admin.fail();
  const { id } = (await POST(admin, "failed/retry", { canary: 1, type: "test.fail" })).body.redrive;
  await waitFor(async () => (await admin.transport.getQueueDepth()) === 1, { timeoutMs: 10_000, what: "the canary is sent" });
  await POST(admin, "consume", { timeLimit: 5_000 });
  const stopped = await reached(admin, id, "stopped");
  assert.match(stopped.reason, /failed again/);
  assert.deepEqual([stopped.done, (await GET(admin, "failed")).pagination.total], [1, 4]);
});

test("refuses what is no redrive, with every issue and its path", async (t) => {
  const admin = await startAdmin(t);
  const paths = async (body: unknown, route = "failed/retry"): Promise<string[]> => {
    const { status, body: problem } = await POST(admin, route, body);
    assert.equal(status, 400, JSON.stringify(body));
    return problem.errors.map((error: { path: string }) => error.path);
  };
  assert.deepEqual(await paths({ rate: 0 }), ["rate"]);
  assert.deepEqual(await paths({ filter: { fingerprint: "x" }, limit: -1 }), ["filter.fingerprint", "limit"]);
  assert.deepEqual(await paths({ filter: { queue: "a" }, queue: "b" }), ["queue"]);
  assert.deepEqual(await paths({ ids: [] }), ["ids"]);
  assert.deepEqual(await paths({ canary: 2 }, "failed/remove"), ["canary"]);
  for (const what of ["", "/pause", "/resume", "/cancel"]) {
    const { status, body } = await admin.call(what === "" ? "GET" : "POST", `/api/symphony/redrives/${randomUUID()}${what}`);
    assert.deepEqual([status, body.code], [404, "REDRIVE_NOT_FOUND"]);
  }
});
