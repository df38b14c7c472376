import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Redrive } from "@symphony/core";
import { remoteBed } from "../testing/remote-bed.ts";

/** With so many failed messages. */
async function withFailed(t: TestContext, count: number) {
  const bed = await remoteBed(t);
  await Promise.all(Array.from({ length: count }, (_, n) => bed.json("dispatch", "image.resize", JSON.stringify({ n }))));
  await bed.consume();
  return bed;
}

/** Without the width of columns, and ages, which go on between two looks. */
const comparable = (text: string): string => text.replaceAll(/ +/g, " ").replaceAll(/\b\d+(?:ms|s)\b/g, "(age)");

test("what an admin API shows is what the database shows: the same tables, the same JSON", async (t) => {
  const { run, runHere } = await withFailed(t, 3);
  await run("failed", "retry", "--all", "--limit", "1", "--rate", "50/s");
  await run("queue", "pause", "images");
  await run("schedule", "pause", "nightly");
  const [first = ""] = (await run("failed", "list", "--limit", "1")).out.match(/[0-9a-f-]{36}/) ?? [];
  const lines = [
    ["status"],
    ["workers"],
    ["failed", "list", "--payload"],
    ["failed", "groups"],
    ["failed", "show", first],
    ["failed", "redrives"],
    ["schedule", "list", "--next", "3"],
    ["audit", "list"],
    ["message", first],
  ];
  for (const line of lines)
    for (const more of [[], ["--json"]]) {
      const [remote, here] = [await run(...line, ...more), await runHere(...line, ...more)];
      assert.deepEqual([remote.code, here.code], [0, 0], `${line.join(" ")}: ${remote.err}${here.err}`);
      const [there, local] =
        more.length === 0 ? [comparable(remote.out), comparable(here.out)] : [timeless(remote.out), timeless(here.out)];
      assert.deepEqual(there, local, line.join(" "));
    }
});

/** JSON without what another moment changes. */
function timeless(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => (["oldestReadyAgeMs", "timestamp", "lastBeatAt"].includes(key) ? typeof value : value));
}

test("redrives at a rate through the admin API, which carries them out, and keeps who it was", async (t) => {
  const { run, json } = await withFailed(t, 6);
  const { retried, redrives } = await json<{ retried: number; redrives: readonly Redrive[] }>("failed", "retry", "--all", "--rate", "30/s");
  assert.deepEqual([retried, redrives[0]?.state, redrives[0]?.rate], [6, "done", 30]);
  assert.equal(redrives[0]?.requestedBy, "SYMPHONY_AUTH_TOKEN");
  const { queues } = await json<{ queues: readonly { queue: string; ready: number; failed: number }[] }>("status");
  const images = queues.find(({ queue }) => queue === "images");
  assert.deepEqual([images?.ready, images?.failed], [6, 0]);
  const { out } = await run("audit", "list");
  assert.match(out, /SYMPHONY_AUTH_TOKEN \(token\) +retry +[0-9a-f-]{36} +6 +done/);
});

test("removes at a rate through the admin API, also without a filter, and it can be undone", async (t) => {
  const { json } = await withFailed(t, 3);
  assert.equal((await json<{ removed: number }>("failed", "remove", "--all", "--force", "--rate", "100/s")).removed, 3);
  const { records } = await json<{ records: readonly { id: string; action: string }[] }>("audit", "list");
  const id = records.find(({ action }) => action === "remove")?.id ?? "";
  assert.equal((await json<{ restored: number }>("audit", "undo", id)).restored, 3);
});

test("a redrive through the admin API stops when its canary fails again", async (t) => {
  const { run, json, consume } = await withFailed(t, 3);
  const { out } = await run("failed", "retry", "--all", "--canary", "1", "--detach");
  const id = /[0-9a-f-]{36}/.exec(out)?.[0] ?? "";
  const show = () => json<Redrive>("failed", "redrives", id);
  while ((await show()).done < 1);
  await consume();
  let last = await show();
  while (last.state === "running") last = await show();
  assert.deepEqual([last.state, last.done], ["stopped", 1]);
  const { code, err } = await run("failed", "redrives", id, "--resume", "--pause");
  assert.deepEqual([code, /give one of/.test(err)], [2, true]);
  assert.equal((await json<Redrive>("failed", "redrives", id, "--cancel")).state, "cancelled");
});

test("a redrive that was left to the admin API is paused, resumed and cancelled from elsewhere", async (t) => {
  const { run, json } = await withFailed(t, 5);
  const { out } = await run("failed", "retry", "--all", "--rate", "1/s", "--detach");
  const id = /[0-9a-f-]{36}/.exec(out)?.[0] ?? "";
  assert.equal((await json<Redrive>("failed", "redrives", id, "--pause")).state, "paused");
  assert.equal((await json<Redrive>("failed", "redrives", id, "--resume", "--detach")).state, "running");
  assert.equal((await json<Redrive>("failed", "redrives", id, "--cancel")).state, "cancelled");
  const { redrives } = await json<{ redrives: readonly Redrive[] }>("failed", "redrives");
  assert.deepEqual(
    redrives.map(({ id: each, state }) => [each, state]),
    [[id, "cancelled"]],
  );
  const unknown = await run("failed", "redrives", "01a205a8-10d7-7000-962c-2d0c27564171");
  assert.deepEqual([unknown.code, /no redrive has the id/.test(unknown.err)], [1, true], unknown.err);
});

test("lists, runs, pauses and resumes schedules of the admin API, whose configuration makes the message", async (t) => {
  const { run, json } = await remoteBed(t);
  assert.equal((await run("schedule", "pause", "nightly")).out, "paused the schedule nightly\n");
  const { messageId, ...rest } = await json<{ messageId: string }>("schedule", "run", "nightly");
  assert.deepEqual(rest, { success: true, schedule: "nightly", transport: "default" });
  assert.equal((await json<{ state: string }>("message", messageId)).state, "waiting");
  const list = () => json<{ schedules: readonly { name: string; status: string; lastMessageId: string }[] }>("schedule", "list");
  assert.deepEqual(
    (await list()).schedules.map(({ name, status, lastMessageId }) => [name, status, lastMessageId]),
    [["nightly", "paused", messageId]],
  );
  assert.equal((await run("schedule", "resume", "nightly")).out, "resumed the schedule nightly\n");
  assert.equal((await run("schedule", "remove", "nightly")).out, "removed the schedule nightly\n");
  assert.equal((await list()).schedules[0]?.status, "new", "the configuration still has it");
  const { code, err } = await run("schedule", "pause", "never");
  assert.deepEqual([code, /there is no schedule "never"/.test(err)], [1, true], err);
  const { out } = await run("audit", "list");
  for (const action of ["remove", "resume", "run", "pause"]) assert.match(out, new RegExp(`\\(token\\) +schedule\\.${action} +nightly`));
});

test("dispatches through the admin API with every option that the command has", async (t) => {
  const { run, json } = await remoteBed(t);
  const send = (...more: string[]) => json<{ messageId: string; duplicate: boolean }>("dispatch", "image.resize", "{}", ...more);
  const [first, second] = [await send("--deduplicate", "one"), await send("--deduplicate", "one")];
  assert.deepEqual([second.messageId, second.duplicate], [first.messageId, true]);
  const late = await send("--delay", "3600000", "--expires-in", "60000");
  assert.equal((await json<{ state: string }>("message", late.messageId)).state, "scheduled");
  const { code, err } = await run("dispatch", "image.resize", "{}", "--bus", "other");
  assert.deepEqual([code, /there is no bus "other"/.test(err)], [2, true], err);
});

test("asks workers to stop through the admin API, and leaves a record of it", async (t) => {
  const { run, json } = await remoteBed(t);
  const asked = await json<{ transports: readonly { transport: string }[] }>("stop-workers");
  assert.deepEqual(asked, { success: true, workers: 0, transports: [{ transport: "default", workers: 0 }] });
  assert.match((await run("audit", "list")).out, /\(token\) +stop-workers +default/);
});
