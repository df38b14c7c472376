import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

const GOOD = `import { defineHandler, defineMessage } from "@symphony/core";
const Greet = defineMessage("greet");
export default { transports: { default: { dsn: "postgres://u:hunter2@127.0.0.1:1/none" } }, handlers: [defineHandler(Greet, async () => undefined)] };`;

/** What the command says of this configuration, and leaves behind for the container. */
async function check(t: TestContext, config: string, line: readonly string[] = [], environment = {}) {
  const words: string[] = [];
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": config }), environment });
  const code = await runCli(["config", "check", ...line], { ...io, lastWords: (text) => void words.push(text) });
  return { code, out: io.output(), err: io.errors(), last: words.join("") };
}

const withDefault = (fields: string): string => `export default { transports: { default: { dsn: "memory:" } }, ${fields} };`;

test("says what there is, though the database cannot be reached", async (t) => {
  const { code, out, err } = await check(t, GOOD, ["--for", "consume"]);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /symphony\.config\.ts: 1 message type, 1 handler, 1 transport: nothing wrong with it$/m);
  const { ok, handlers, warnings } = JSON.parse((await check(t, GOOD, ["--json"])).out);
  assert.deepEqual([ok, handlers, warnings], [true, 1, []]);
});

const MISTAKES: readonly (readonly [what: string, config: string, cause: RegExp, environment?: Record<string, string>])[] = [
  ["a field that nobody knows", withDefault("rooting: {}"), /rooting.*"routing"/],
  ["an option that its transport does not know", GOOD.replace("/none", "/none?poolsize=2"), /transports\.default.*"poolSize"/],
  ["a field of auth", withDefault("auth: { rolls: {} }"), /config\.auth\.rolls.*"roles"/],
  ["a file that cannot be run", "export default {", /cannot be loaded/],
  ["a variable out of range", GOOD, /SYMPHONY_WORKER_BATCH_SIZE/, { SYMPHONY_WORKER_BATCH_SIZE: "0" }],
];
for (const [what, config, cause, environment] of MISTAKES) {
  test(`${what}: exit 64, and the cause is the termination message`, async (t) => {
    const { code, out, err, last } = await check(t, config, [], environment);
    assert.deepEqual([code, out], [64, ""]);
    assert.match(err, cause);
    assert.match(last, new RegExp(`^(OPTIONS|CONFIG)_INVALID: .*${cause.source}`, "s"));
    assert.doesNotMatch(err + last, /hunter2/);
  });
}

test("--for consume wants handlers, --for admin credentials that can be used", async (t) => {
  const { code, err } = await check(t, withDefault("handlers: []"), ["--for", "consume"]);
  assert.equal(code, 64);
  assert.match(err, /config\.handlers is empty/);
  assert.equal((await check(t, GOOD, ["--for", "admin"])).code, 64);
  assert.equal((await check(t, GOOD, ["--for", "admin"], { SYMPHONY_AUTH_TOKENS_FILE: "/no/such" })).code, 64);
  assert.equal((await check(t, GOOD, ["--for", "admin"], { SYMPHONY_AUTH_TOKEN: "a-token-of-at-least-32-characters" })).code, 0);
});

test("warns of a variable with a slip of the pen", async (t) => {
  const { code, err } = await check(t, GOOD, [], { SYMPHONY_WORKER_BATCHSIZE: "5" });
  assert.equal(code, 0);
  assert.match(err, /^warning: SYMPHONY_WORKER_BATCHSIZE .*SYMPHONY_WORKER_BATCH_SIZE/);
});
