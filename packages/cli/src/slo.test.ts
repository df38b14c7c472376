import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

async function rules(t: TestContext, options: string, ...flags: string[]) {
  const config = `import { defineMessage } from "@symphony/core";
export default { transports: { default: { dsn: "memory:" } }, messages: [defineMessage("mail.send", { queue: "mails", ${options} })] };`;
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": config }) });
  return { code: await runCli(["slo", "rules", ...flags], io), out: io.output(), err: io.errors() };
}

test("slo rules prints rules for the types that have an objective", async (t) => {
  const { code, out, err } = await rules(t, "slo: { startWithinMs: 5000, objective: 0.99 }");
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /alert: "SymphonyStartSloBurnFast"/);
  assert.match(out, /symphony_message_type: "mail\.send"/);
  const { out: json } = await rules(t, "slo: { startWithinMs: 5000, objective: 0.99 }", "--json");
  assert.deepEqual(JSON.parse(json), { types: [{ name: "mail.send", queue: "mails", slo: { startWithinMs: 5_000, objective: 0.99 } }] });
});

test("slo rules says how to set an objective when no type has one", async (t) => {
  const { code, out, err } = await rules(t, "");
  assert.equal(code, 0);
  assert.match(out, /groups: \[\]/);
  assert.match(err, /no message type has an objective/);
});

test("an objective that cannot be met, or means nothing, is refused", async (t) => {
  for (const slo of [
    "{ startWithinMs: 0, objective: 0.99 }",
    "{ startWithinMs: 1, objective: 1 }",
    "{ startWithinMs: 1, objective: 99 }",
  ]) {
    const { code, err } = await rules(t, `slo: ${slo}`);
    assert.equal(code, 64, slo);
    assert.match(err, /slo/);
  }
});
