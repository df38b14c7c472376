import assert from "node:assert/strict";
import { test } from "node:test";
import { workerProject } from "./testing/worker-project.ts";

/** Nested arrays, as text: no program could build the value itself. */
const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

test("what cannot be stored is refused at dispatch, with path and limit", async (t) => {
  const { run, queues } = await workerProject(t);
  const cases: readonly (readonly [string, RegExp])[] = [
    [JSON.stringify({ a: { b: "x\u0000y" } }), /payload\.a\.b holds a NUL character/],
    [JSON.stringify({ text: "x".repeat(2 * 1_048_576) }), /1048576/],
    [nested(100_000), /nested deeper than 64 levels/],
    [`{"n":12345678901234567890}`, /payload\.n is an integer beyond 2\^53/],
    [`{"s":"\\ud800"}`, /payload\.s holds a lone surrogate/],
  ];
  for (const [payload, message] of cases) {
    const { code, out, err } = await run(["dispatch", "any", "-"], payload);
    assert.deepEqual([code, out], [1, ""], err.slice(0, 300));
    assert.match(err, message);
    assert.ok(err.length < 2_000, "the payload is not repeated");
  }
  const many = await run(["dispatch", "any", "--many"], [...cases.map(([payload]) => payload), '{"ok":true}'].join("\n"));
  assert.match(many.out, /sent 1 message, 5 failed/);
  assert.equal((await queues()).default?.ready, 1);
});

test("unknown, undecodable and oversized messages end as dead letters or handled; the worker goes on", async (t) => {
  const { run, json, database, failed, handled } = await workerProject(t);
  const unknown = await json<{ messageId: string }>(["dispatch", "nobody.knows", '{"a":1}', "--force"]);
  const broken = await json<{ messageId: string }>(["dispatch", "any", '{"a":2}']);
  const mismatch = await json<{ messageId: string }>(["dispatch", "greet", '{"name":"x"}']);
  const huge = await json<{ messageId: string }>(["dispatch", "any", '{"a":3}']);
  const deep = await json<{ messageId: string }>(["dispatch", "any", '{"a":4}']);
  const table = "symphony.job";
  await database.query(`UPDATE ${table} SET data = '{"not":"ours"}' WHERE id = $1`, [broken.messageId]);
  await database.query(`UPDATE ${table} SET data = jsonb_set(data, '{payload}', '{"name":7}') WHERE id = $1`, [mismatch.messageId]);
  await database.query(`UPDATE ${table} SET data = jsonb_set(data, '{payload}', to_jsonb(repeat('x', 2097152))) WHERE id = $1`, [
    huge.messageId,
  ]);
  // As deep as PostgreSQL itself lets through.
  await database.query(`UPDATE ${table} SET data = jsonb_set(data, '{payload}', $2::jsonb) WHERE id = $1`, [deep.messageId, nested(5_000)]);
  await json(["dispatch", "greet", '{"name":"after"}']);

  const { code, out, err } = await run(["consume", "--limit", "6"]);
  assert.equal(code, 0, out + err);
  const letters = new Map((await failed()).map((letter) => [letter.id, letter]));
  assert.deepEqual([letters.get(unknown.messageId)?.reason, letters.get(unknown.messageId)?.payload], ["no_handler", { a: 1 }]);
  assert.equal(letters.get(broken.messageId)?.reason, "undecodable");
  assert.deepEqual(JSON.parse(letters.get(broken.messageId)?.body ?? ""), { not: "ours" }, "the bytes are kept");
  assert.equal(letters.get(mismatch.messageId)?.reason, "undecodable");
  assert.equal(letters.size, 3);
  assert.ok(handled().includes("greet after"));
  assert.ok(handled().includes(`any ${2_097_152 + 2}`));
  assert.ok(handled().includes("any 10000"));

  const shown = await run(["failed", "show", broken.messageId]);
  assert.match(shown.out, /\(undecodable\)/);
  const list = await run(["failed", "list"]);
  assert.match(list.out, /no_handler/);
});

test("an error text with escape sequences does not reach the terminal", async (t) => {
  const { json, run, failed } = await workerProject(t);
  const { messageId } = await json<{ messageId: string }>([
    "dispatch",
    "boom",
    JSON.stringify({ why: "\u001b[31mred\u001b]0;title\u0007" }),
  ]);
  assert.equal((await run(["consume", "--limit", "1"])).code, 0);
  assert.equal((await failed())[0]?.error.message.includes("\u001b"), true);
  for (const line of [
    ["failed", "list"],
    ["failed", "show", messageId],
  ]) {
    const { out } = await run(line);
    assert.match(out, /red/);
    assert.equal(out.includes("\u001b"), false, line.join(" "));
  }
});
