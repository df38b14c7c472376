import assert from "node:assert/strict";
import { test } from "node:test";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
import { z } from "zod";
const Resize = defineMessage("image.resize", { schema: z.object({ width: z.int() }), queue: "images" });
const Later = defineMessage("report.later");
async function resize() {}
export default defineConfig({
  transports: { default: { dsn: "memory:" } },
  routing: { "image.*": "default", "video.*": "default", "report.*": "default" },
  handlers: [defineHandler(Resize, resize, { execution: "inline" })],
  messages: [Later],
});`;

async function run(
  t: Parameters<typeof project>[0],
  line: readonly string[],
  more: { input?: string; environment?: Record<string, string> } = {},
) {
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": CONFIG }), ...more });
  return { code: await runCli(line, io), out: io.output(), err: io.errors() };
}

test("bad usage exits 2 and says what is wrong", async (t) => {
  const lines: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /which command/],
    [["disptach"], /Did you mean dispatch\?|Unknown command/],
    [["status", "--wacth"], /Unknown argument: wacth/],
    [["dispatch"], /needs a message type/],
    [["dispatch", "image.resize", "{"], /is not JSON/],
    [["dispatch", "image.resize", "--priority", "11"], /--priority must be an integer from 1 to 10/],
    [["dispatch", "image.resize", "--delay", "1", "--at", "2030-01-01T00:00:00Z"], /exclude each other/],
    [["dispatch", "image.resize", "--at", "tomorrow"], /scheduledAt/],
    [["dispatch", "image.resize", "--header", "x"], /--header must be name=value/],
    [["failed"], /needs one of its commands/],
    [["failed", "list", "--limit", "0"], /--limit/],
    [["failed", "list", "--since", "whenever"], /--since/],
    [["failed", "retry"], /give ids, or --all/],
    [["failed", "remove", "a", "--all"], /not both/],
    [["failed", "list", "--transport", "nope"], /no transport "nope"; configured: default/],
  ];
  for (const [line, message] of lines) {
    const { code, out, err } = await run(t, line);
    assert.deepEqual([code, out], [2, ""], `${line.join(" ")}: ${err}`);
    assert.match(err, message, line.join(" "));
    assert.doesNotMatch(err, /\n\s+at /, "no stack");
  }
});

test("bad configuration exits 64, names the field and shows a stack only with -vv", async (t) => {
  const directory = project(t, { "symphony.config.ts": `export default { transports: { default: { dsn: "memory:", dns: 1 } } };` });
  const quiet = memoryIo({ directory });
  assert.equal(await runCli(["status"], quiet), 64);
  assert.match(quiet.errors(), /config\.transports\.default\.dns is not an option; did you mean "dsn"\?/);
  assert.doesNotMatch(quiet.errors(), /\n\s+at /);
  const loud = memoryIo({ directory });
  assert.equal(await runCli(["status", "-vv"], loud), 64);
  assert.match(loud.errors(), /\n\s+at /);
});

test("a bad variable exits 64 and is named", async (t) => {
  const { code, err } = await run(t, ["status"], { environment: { SYMPHONY_WORKER_THREADS: "0" } });
  assert.equal(code, 64);
  assert.match(err, /SYMPHONY_WORKER_THREADS/);
});

test("dispatch answers with what it sent, in JSON as over HTTP", async (t) => {
  const { code, out } = await run(t, ["dispatch", "image.resize", '{"width":5}', "--json", "--idempotency-key", "k", "--header", "a=b"]);
  const answer = JSON.parse(out) as Record<string, unknown>;
  assert.equal(code, 0);
  assert.deepEqual(
    { ...answer, messageId: "" },
    { success: true, messageId: "", transport: "default", queue: "images", duplicate: false, idempotencyKey: "k" },
  );
});

test("dispatch takes the options of the library as flags, and refuses what is out of range", async (t) => {
  const flags = ["--delay", "60000", "--expires-in", "5000", "--deduplicate", "a", "--partition-key", "acme", "--bus", "default"];
  const { code, err } = await run(t, ["dispatch", "image.resize", '{"width":5}', ...flags]);
  assert.equal(code, 0, err);
  assert.equal((await run(t, ["dispatch", "image.resize", '{"width":5}', "--expires-in", "0"])).code, 2);
  assert.equal((await run(t, ["dispatch", "image.resize", '{"width":5}', "--bus", "nowhere"])).code, 2);
});

test("dispatch refuses an unknown type with the nearest known one, unless forced", async (t) => {
  const { code, err } = await run(t, ["dispatch", "image.rezise", "{}"]);
  assert.equal(code, 1);
  assert.match(err, /no message type "image.rezise"; did you mean "image.resize"\?/);
  assert.equal((await run(t, ["dispatch", "image.rezise", "{}", "--force"])).code, 0);
});

test("dispatch names every issue of a payload", async (t) => {
  const { code, err } = await run(t, ["dispatch", "image.resize", '{"width":"x"}']);
  assert.equal(code, 1);
  assert.match(err, /payload of "image.resize" is invalid: width: /);
});

test("with --json an error is JSON on standard error", async (t) => {
  const { code, out, err } = await run(t, ["dispatch", "nope", "{}", "--json"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.equal((JSON.parse(err) as { error: { code: string } }).error.code, "MESSAGE_TYPE_UNKNOWN");
});

test("dispatch --many sends the good lines, numbers the bad ones and exits 1", async (t) => {
  const input = ['{"width":1}', "not json", "", '{"width":"x"}', '{"width":2}'].join("\n");
  const { code, out, err } = await run(t, ["dispatch", "image.resize", "--many"], { input });
  assert.equal(code, 1);
  assert.match(out, /sent 2 messages, 2 failed/);
  assert.match(err, /^line 2: it is not JSON/m);
  assert.match(err, /^line 4: payload of "image.resize" is invalid/m);
});

test("dispatch --many reads type, payload and options per line, flags being the defaults", async (t) => {
  const input = [
    { type: "image.resize", payload: { width: 1 } },
    { type: "image.resize", payload: { width: 1 }, options: { idempotencyKey: "same" } },
    { type: "image.resize", payload: { width: 1 }, options: { idempotencyKey: "same" } },
    { type: "image.resize", payload: { width: 1 }, options: { priority: 99 } },
    { type: "image.resize", payload: { width: 1 }, options: { transaction: {} } },
    { type: "report.later" },
    { type: "report.later", body: {} },
    [],
  ];
  const { code, out, err } = await run(t, ["dispatch", "--many", "--json"], {
    input: input.map((line) => JSON.stringify(line)).join("\n"),
  });
  const { errors, ...summary } = JSON.parse(out) as { errors: { line: number }[] };
  assert.equal(code, 1);
  assert.deepEqual(summary, { success: false, sent: 3, duplicates: 1, failed: 4 });
  assert.deepEqual(errors.map((error) => error.line).sort(), [4, 5, 7, 8], err);
});

test("status shows every queue, and JSON for scripts", async (t) => {
  const { code, out } = await run(t, ["status", "--json"]);
  const status = JSON.parse(out) as { queues: { queue: string; ready: number }[]; workers: unknown[] };
  assert.equal(code, 0);
  assert.deepEqual(status.queues.map((queue) => queue.queue).sort(), ["default", "images"]);
  assert.match((await run(t, ["status"])).out, /TRANSPORT\s+QUEUE\s+READY/);
});

test("debug finds routes with no handler and messages with none", async (t) => {
  const { out } = await run(t, ["debug", "--json"]);
  const { problems, handlers } = JSON.parse(out) as { problems: Record<string, string[]>; handlers: { name: string; execution: string }[] };
  assert.deepEqual(problems, {
    handlersWithoutRoute: [],
    routesWithoutHandler: ["video.*", "report.*", "*"],
    messagesWithoutHandler: ["report.later"],
  });
  assert.deepEqual([handlers[0]?.name, handlers[0]?.execution], ["resize", "inline"]);
});

test("debug config shows where a value came from and no secret", async (t) => {
  const environment = { SYMPHONY_WORKER_BATCH_SIZE: "50", CRON_SECRET: "tops3cret", DATABASE_URL: "postgres://u:hunter22@h/d" };
  const { code, out } = await run(t, ["debug", "config"], { environment });
  assert.equal(code, 0);
  assert.match(out, /batchSize\s+50\s+environment\s+SYMPHONY_WORKER_BATCH_SIZE/);
  assert.doesNotMatch(out, /tops3cret|hunter22/);
});

test("failed show says that there is no such message", async (t) => {
  const { code, err } = await run(t, ["failed", "show", "0197b2c4-0000-7000-8000-000000000000"]);
  assert.equal(code, 1);
  assert.match(err, /no failed message with the id 0197b2c4/);
});

test("every command has a help text with examples", async (t) => {
  for (const line of [
    ["dispatch"],
    ["status"],
    ["failed", "list"],
    ["failed", "groups"],
    ["failed", "retry"],
    ["failed", "remove"],
    ["queue", "pause"],
    ["queue", "purge"],
    ["setup"],
  ]) {
    const { code, out, err } = await run(t, [...line, "--help"]);
    assert.deepEqual([code, err], [0, ""], line.join(" "));
    assert.match(out, /Examples:/);
  }
});
