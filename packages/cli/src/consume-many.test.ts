import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { workerProject } from "./testing/worker-project.ts";

/** Two transports; the handler of one ends when that of the other has begun. */
const CONFIG = `import { appendFileSync, readFileSync } from "node:fs";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const log = new URL("handled.log", import.meta.url);
const note = (text) => appendFileSync(log, text + "\\n");
const meet = (own, other) => async (_payload, { transport }) => {
  note(own + " begins on " + transport);
  for (let i = 0; i < 600 && !readFileSync(log, "utf8").includes(other + " begins"); i++) await new Promise((next) => setTimeout(next, 50));
  note(readFileSync(log, "utf8").includes(other + " begins") ? own + " met " + other : own + " was alone");
};
const dsn = process.env.DATABASE_URL;
const retry = { maxRetries: 0 };
export default defineConfig({
  transports: { one: { dsn, options: { schema: "one" } }, two: { dsn, options: { schema: "two" } }, here: { dsn: "sync:" } },
  routing: { left: "one", right: "two", "said.*": "one" },
  buses: { default: {}, audit: {} },
  handlers: [
    defineHandler(defineMessage("left", { retry }), meet("left", "right"), { name: "left" }),
    defineHandler(defineMessage("right", { retry }), meet("right", "left"), { name: "right" }),
    defineHandler([defineMessage("said.hello", { retry }), defineMessage("said.bye", { retry })], (_p, { type }) => note("said " + type), { name: "said" }),
    defineHandler("said.*", (_p, { type }) => note("audited " + type), { name: "audited", bus: "audit" }),
    defineHandler("*", (_p, { type }) => { if (type.startsWith("said")) note("any " + type); }, { name: "any", execution: "inline" }),
  ],
});
`;

const ALONE = ["--processes", "1", "--health-port", "0", "--time-limit", "60"];

test("consume --all works on several transports at the same time, in one process; --exclude leaves one out", async (t) => {
  const { directory, json, run, handled } = await workerProject(t);
  writeFileSync(join(directory, "symphony.config.ts"), CONFIG);
  await json(["dispatch", "left"]);
  await json(["dispatch", "right"]);
  const { code, out, err } = await run(["consume", "--all", "--limit", "2", ...ALONE]);
  assert.equal(code, 0, out + err);
  assert.deepEqual([...handled()].sort(), ["left begins on one", "left met right", "right begins on two", "right met left"]);
  assert.match(out, /"transports":\["one","two"\]/);
  await json(["dispatch", "said.hello"]);
  const excluding = await run(["consume", "--all", "--exclude", "two", "--limit", "1", ...ALONE]);
  assert.match(excluding.out, /"transports":\["one"\]/, excluding.err);
});

test("handlers of several types and of patterns run in threads, and consume --bus decides on which bus", async (t) => {
  const { directory, json, run, handled } = await workerProject(t);
  writeFileSync(join(directory, "symphony.config.ts"), CONFIG);
  const handledWith = async (...flags: string[]): Promise<readonly string[]> => {
    const before = handled().length;
    await json(["dispatch", "said.hello"]);
    await json(["dispatch", "said.bye"]);
    const { code, out, err } = await run(["consume", "one", "--limit", "2", ...ALONE, ...flags]);
    assert.equal(code, 0, out + err);
    return handled().slice(before).sort();
  };
  const common = ["any said.bye", "any said.hello", "said said.bye", "said said.hello"];
  assert.deepEqual(await handledWith(), common);
  assert.deepEqual(await handledWith("--bus", "audit"), [...common, "audited said.bye", "audited said.hello"].sort());
  const unknown = await run(["consume", "--bus", "nowhere", ...ALONE]);
  assert.equal(unknown.code, 64, unknown.out + unknown.err);
  assert.match(unknown.out + unknown.err, /config\.worker\.bus must name a configured bus \(default, audit\), got \\?"nowhere/);
});
