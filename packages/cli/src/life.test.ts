import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { project } from "./testing/project.ts";
import { run } from "./testing/symphony.ts";
import { type FailedRow, workerProject } from "./testing/worker-project.ts";

test("a message's life from the command line: set up, dispatch, consume, status, failed list, show, retry, remove", async (t) => {
  const { run, json, queues, failed, handled } = await workerProject(t);
  const dry = await run(["setup", "--dry-run"]);
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /create/i);
  assert.deepEqual((await run(["setup", "--dry-run"])).out, dry.out, "a dry run changes nothing");
  assert.equal((await run(["setup"])).code, 0);
  assert.match((await run(["setup"])).out, /up to date/);

  const sent = await json<{ messageId: string; queue: string }>(["dispatch", "greet", '{"name":"Ada"}', "--header", "a=b"]);
  const boom = await json<{ messageId: string; queue: string }>([
    "dispatch",
    "boom",
    '{"n":1}',
    "--header",
    "tenant=t1",
    "--priority",
    "9",
  ]);
  await json(["dispatch", "inline"]);
  await json(["dispatch", "greet", '{"name":"later"}', "--delay", "3600000"]);
  assert.deepEqual([sent.queue, boom.queue], ["default", "risky"]);
  const before = await queues();
  assert.deepEqual([before.default?.ready, before.default?.scheduled, before.risky?.ready], [2, 1, 1]);

  const consumed = await run(["consume", "--limit", "3"]);
  assert.equal(consumed.code, 0, consumed.out + consumed.err);
  assert.match(consumed.out, /"threads":\d+,"concurrency":5,.*"connections":\d+/);
  assert.match(consumed.out, /"reason":"message_limit"/);
  assert.deepEqual([...handled()].sort(), ["greet Ada", "inline"]);
  const after = await queues();
  assert.deepEqual([after.default?.ready, after.default?.scheduled, after.risky?.failed], [0, 1, 1]);
  assert.equal(after.default?.completed, 2);

  const [letter] = await failed();
  assert.deepEqual(
    [letter?.id, letter?.type, letter?.queue, letter?.reason, letter?.attempts],
    [boom.messageId, "boom", "risky", "retries_exhausted", 1],
  );
  const shown = await json<FailedRow & { headers: object; history: unknown[]; priority: number }>(["failed", "show", boom.messageId]);
  assert.deepEqual([shown.error.message, shown.payload, shown.headers, shown.priority], ["kaputt", { n: 1 }, { tenant: "t1" }, 9]);
  assert.match((await run(["failed", "show", boom.messageId])).out, /kaputt/);

  assert.deepEqual(await json(["failed", "retry", boom.messageId, "--dry-run"]), { dryRun: true, matching: 1 });
  const retried = await json<{ retried: number; redriven: string[] }>(["failed", "retry", boom.messageId]);
  assert.deepEqual([retried.retried, retried.redriven], [1, [boom.messageId]]);
  const back = await queues();
  assert.deepEqual([back.risky?.ready, back.risky?.failed], [1, 0]);
  assert.equal((await run(["consume", "--queues", "risky", "--limit", "1"])).code, 0);

  const unasked = await run(["failed", "remove", boom.messageId]);
  assert.equal(unasked.code, 2);
  assert.match(unasked.err, /--force/);
  assert.equal((await failed()).length, 1);
  assert.deepEqual(await json(["failed", "remove", boom.messageId, "--force"]), { success: true, removed: 1, ids: [boom.messageId] });
  assert.equal((await failed()).length, 0);
  assert.equal((await run(["failed", "remove", boom.messageId, "--force"])).code, 1);
});

test("failed retry and remove take exactly what the filter matches", async (t) => {
  const { run, json, failed, queues } = await workerProject(t);
  await run(["dispatch", "boom", "--many"], Array.from({ length: 30 }, (_, i) => JSON.stringify({ i })).join("\n"));
  await run(["dispatch", "final", "--many"], Array.from({ length: 5 }, (_, i) => JSON.stringify({ i })).join("\n"));
  assert.equal((await run(["consume", "--limit", "35"])).code, 0);
  assert.equal((await failed()).length, 35);
  const listed = await json<{ messages: FailedRow[]; pagination: object }>([
    "failed",
    "list",
    "--type",
    "final",
    "--limit",
    "2",
    "--offset",
    "1",
  ]);
  assert.deepEqual([listed.messages.length, listed.pagination], [2, { total: 5, accuracy: "exact", limit: 2, offset: 1, hasMore: true }]);
  assert.equal((await json<{ retried: number }>(["failed", "retry", "--all", "--type", "boom", "--limit", "10"])).retried, 10);
  assert.equal((await queues()).risky?.ready, 10);
  assert.equal((await json<{ removed: number }>(["failed", "remove", "--all", "--until", "1h", "--force"])).removed, 0);
  assert.equal((await json<{ removed: number }>(["failed", "remove", "--all", "--type", "final", "--since", "1h", "--force"])).removed, 5);
  const rest = await failed();
  assert.deepEqual([rest.length, new Set(rest.map((row) => row.type))], [20, new Set(["boom"])]);
  assert.equal((await json<{ retried: number }>(["failed", "retry", "--all"])).retried, 20);
});

test("dispatch --many sends tens of thousands of lines, bad ones by number", async (t) => {
  const { run, queues } = await workerProject(t);
  const lines = Array.from({ length: 20_000 }, (_, i) => (i % 5_000 === 4_999 ? "{" : JSON.stringify({ name: `n${i}` })));
  const { code, out, err } = await run(["dispatch", "greet", "--many"], lines.join("\n"));
  assert.equal(code, 1);
  assert.match(out, /sent 19996 messages, 4 failed/);
  assert.deepEqual(
    [...err.matchAll(/^line (\d+): it is not JSON/gm)].map((match) => match[1]),
    ["5000", "10000", "15000", "20000"],
  );
  assert.equal((await queues()).default?.ready, 19_996);
});

test("an idempotency key sends once", async (t) => {
  const { json, queues } = await workerProject(t);
  const first = await json<{ messageId: string }>(["dispatch", "any", "{}", "--idempotency-key", "k"]);
  const second = await json<{ messageId: string; duplicate: boolean }>(["dispatch", "any", "{}", "--idempotency-key", "k"]);
  assert.deepEqual([second.messageId, second.duplicate], [first.messageId, true]);
  assert.equal((await queues()).default?.ready, 1);
});

test("an unreachable database exits 75, without the password", async (t) => {
  const directory = project(t, { "x.txt": "" });
  const environment = { DATABASE_URL: "postgres://app:hunter22@127.0.0.1:1/none" };
  for (const line of [["status"], ["dispatch", "x", "{}", "--force"], ["setup"], ["failed", "list"], ["workers"]]) {
    const { code, err } = await run(t, line, { directory, environment });
    assert.equal(code, 75, `${line.join(" ")}: ${err}`);
    assert.match(err, /^symphony: .*(ECONNREFUSED|refused)/);
    assert.doesNotMatch(err, /hunter22|\n\s+at /);
  }
});

test("a database without the tables exits 78 where they may not be made", async (t) => {
  const { database, directory } = await workerProject(t);
  const { code, err } = await run(t, ["status"], { directory, environment: { DATABASE_URL: `${database.url}?autoSetup=false` } });
  assert.equal(code, 78, err);
  assert.match(err, /symphony setup/);
});

test("set-up says what it left out for want of a lock, and does it when it is run again", async (t) => {
  const { run, database } = await workerProject(t);
  assert.equal((await run(["setup"])).code, 0);
  await database.query("DROP FUNCTION symphony.messenger_failed CASCADE");
  const held = database.query("BEGIN; LOCK TABLE symphony.job IN ROW EXCLUSIVE MODE; SELECT pg_sleep(120)").catch(() => undefined);
  const holder = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
  await waitFor(async () => (await database.query(`SELECT 1 ${holder}`)).length > 0, { what: "the lock" });
  const without = await run(["setup"]);
  assert.equal(without.code, 0, without.err);
  assert.match(without.out, /left out, run this again: let rows of the queue "default" name their dead letters/);
  await database.query(`SELECT pg_terminate_backend(pid) ${holder}`);
  await held;
  assert.match((await run(["setup"])).out, /^ {2}let rows of the queue "default"/m);
  assert.match((await run(["setup"])).out, /up to date/);
});
