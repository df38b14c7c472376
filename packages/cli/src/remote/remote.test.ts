import assert from "node:assert/strict";
import { test } from "node:test";
import { runCli } from "../cli.ts";
import { memoryIo } from "../testing/memory-io.ts";
import { remoteBed, TOKEN } from "../testing/remote-bed.ts";

test("an operator's day through the admin API: dispatch, find, look, retry, remove, undo", async (t) => {
  const { run, json, consume } = await remoteBed(t);
  const sent = await json<{ messageId: string; queue: string; duplicate: boolean }>(
    "dispatch",
    "image.resize",
    '{"width":1}',
    "--idempotency-key",
    "k",
  );
  assert.deepEqual([sent.queue, sent.duplicate], ["images", false], "queue and type are the server's to know");
  assert.equal((await json<{ duplicate: boolean }>("dispatch", "image.resize", '{"width":1}', "--idempotency-key", "k")).duplicate, true);
  const unwanted = await json<{ messageId: string }>("dispatch", "image.resize", "{}");
  assert.equal((await json<{ state: string }>("message", unwanted.messageId)).state, "waiting");
  assert.equal((await json<{ outcome: string }>("cancel", unwanted.messageId)).outcome, "removed");
  assert.match((await run("cancel", unwanted.messageId)).err, /is cancelled already/);
  await json("dispatch", "image.resize", "{}");
  await consume();
  const list = await json<{ messages: readonly { id: string; priority: number; reason: string }[] }>("failed", "list");
  assert.deepEqual(
    list.messages.map(({ priority, reason }) => [priority, reason]),
    [
      [7, "unrecoverable"],
      [7, "unrecoverable"],
    ],
  );
  const { payload, error } = await json<{ payload: unknown; error: { message: string } }>("failed", "show", sent.messageId);
  assert.deepEqual([payload, error.message], [{ width: 1 }, "no image there"]);
  const { groups } = await json<{ groups: readonly { count: number }[] }>("failed", "groups");
  assert.deepEqual(
    groups.map(({ count }) => count),
    [2],
  );
  assert.equal((await json<{ retried: number }>("failed", "retry", sent.messageId)).retried, 1);
  const status = await json<{ queues: readonly { queue: string; ready: number; failed: number }[] }>("status");
  assert.deepEqual(
    status.queues.filter(({ queue }) => queue === "images").map(({ ready, failed }) => [ready, failed]),
    [[1, 1]],
  );
  await consume();
  assert.equal((await json<{ removed: number }>("failed", "remove", "--all", "--force")).removed, 2);
  const { records } = await json<{ records: readonly { id: string; action: string; actor: { kind: string }; undoable: boolean }[] }>(
    "audit",
    "list",
  );
  assert.ok(
    records.every(({ actor }) => actor.kind === "token"),
    "the server says who it was",
  );
  const removal = records.find(({ action, undoable }) => action === "remove" && undoable);
  assert.equal((await json<{ restored: number }>("audit", "undo", removal?.id ?? "")).restored, 1);
  const unknown = await run("failed", "show", "01a205a8-10d7-7000-962c-2d0c27564171");
  assert.deepEqual([unknown.code, unknown.out], [1, ""]);
});

test("pauses, resumes and purges a queue through the admin API", async (t) => {
  const { run, json } = await remoteBed(t);
  const many = memoryLines(3);
  await Promise.all(many.map((payload) => json("dispatch", "image.resize", payload)));
  await json("queue", "pause", "images");
  assert.match((await run("status")).out, /images/);
  await json("queue", "resume", "images");
  const refused = await run("queue", "purge", "images", "--expect", "2", "--force");
  assert.deepEqual([refused.code, /3 messages wait/.test(refused.err)], [1, true], refused.err);
  assert.equal((await json<{ waiting: number }>("queue", "purge", "images", "--dry-run")).waiting, 3);
  assert.equal((await json<{ removed: number }>("queue", "purge", "images", "--force")).removed, 3);
  assert.equal((await run("queue", "pause", "nowhere")).code, 1);
});

const memoryLines = (count: number): string[] => Array.from({ length: count }, (_, n) => JSON.stringify({ n }));

test("says who refuses and why: no token, a wrong one, nobody there, a command that needs the database", async (t) => {
  const { url, elsewhere } = await remoteBed(t);
  const tried = async (line: readonly string[], environment: Readonly<Record<string, string>>) => {
    const io = memoryIo({ directory: elsewhere, environment });
    return { code: await runCli(line, io), err: io.errors() };
  };
  const none = await tried(["status", "--url", url], {});
  assert.deepEqual([none.code, /SYMPHONY_AUTH_TOKEN/.test(none.err)], [64, true]);
  const wrong = await tried(["status", "--url", url, "--json"], { SYMPHONY_AUTH_TOKEN: TOKEN.replace("remote", "other") });
  assert.equal(wrong.code, 1);
  assert.equal((JSON.parse(wrong.err) as { error: { code: string } }).error.code, "UNAUTHORIZED");
  const away = await tried(["status", "--url", "http://127.0.0.1:1"], { SYMPHONY_AUTH_TOKEN: TOKEN });
  assert.deepEqual([away.code, /does not answer/.test(away.err)], [75, true]);
  const local = await tried(["consume", "--url", url], { SYMPHONY_AUTH_TOKEN: TOKEN });
  assert.deepEqual([local.code, /takes no --url/.test(local.err)], [2, true]);
  assert.equal((await tried(["status", "--url", "ftp://example.org"], { SYMPHONY_AUTH_TOKEN: TOKEN })).code, 64);
});
