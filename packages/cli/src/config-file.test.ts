import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findConfigFile, loadConfig } from "./config-file.ts";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineConfig } from "@symphony/core";
export default defineConfig({ transports: { default: { dsn: "embedded:" }, other: { dsn: "memory:" } }, worker: { batchSize: 3 } });`;

test("finds the configuration upwards, TypeScript before JavaScript", (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG, "symphony.config.js": CONFIG, "a/b/x": "" });
  assert.equal(findConfigFile(join(directory, "a/b")), join(directory, "symphony.config.ts"));
});

test("puts DATABASE_URL in the place of an embedded PostgreSQL, and of nothing else", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const { config, replacedDsns } = await loadConfig({ directory, environment: { DATABASE_URL: "postgres://u@h/d" } });
  assert.deepEqual([config.transports.default?.dsn, config.transports.other?.dsn], ["postgres://u@h/d", "memory:"]);
  assert.deepEqual(replacedDsns, { default: "DATABASE_URL" });
});

test("a project has one embedded PostgreSQL, also for its subdirectories; a directory in the DSN stays", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG.replace("memory:", "embedded:./mine?poolSize=2"), "src/x": "" });
  const { transports } = (await loadConfig({ directory: join(directory, "src"), environment: {} })).parsed;
  assert.equal(transports.default?.dsn, `embedded:${directory}/.symphony/postgres`);
  assert.equal(transports.other?.dsn, "embedded:./mine?poolSize=2");
});

test("without a file there is one transport, on DATABASE_URL or embedded", async (t) => {
  // Outside of the repository's own tree nothing is found; "/" has no configuration.
  const none = await loadConfig({ directory: "/", environment: {} });
  assert.deepEqual([none.file, none.parsed.transports.default?.dsn], [null, "embedded:/.symphony/postgres"]);
  const url = await loadConfig({ directory: "/", environment: { DATABASE_URL: "postgres://u@h/d" } });
  assert.equal(url.parsed.transports.default?.dsn, "postgres://u@h/d");
  const path = join(project(t, {}), "url");
  writeFileSync(path, "postgres://u@file/d\n");
  const file = await loadConfig({ directory: "/", environment: { DATABASE_URL_FILE: path } });
  assert.equal(file.parsed.transports.default?.dsn, "postgres://u@file/d");
});

test("names the field, or what is wrong with the file", async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    [`export default { transports: { default: { dsn: 5 } } };`, /config\.transports\.default\.dsn must be a string, got 5/],
    [`export default { transport: {} };`, /did you mean "transports"/],
    [`export default { transports: { a: { dsn: "memory:" } }, worker: { batchSize: 0 } };`, /config\.worker\.batchSize/],
    [`export const config = {};`, /must have a default export/],
    [`export default 5;`, /must have a default export/],
    [`throw new Error("no luck");`, /cannot be loaded: no luck \(\/.*symphony\.config\.ts:1:7\)/],
    [`const a = 1;\nexport default ;`, /cannot be loaded: Expression expected \(\/.*symphony\.config\.ts:2\)/],
    [`import "./missing.ts"; export default {};`, /cannot be loaded: Cannot find module/],
    [`import { defineMessage } from "@symphony/core"; defineMessage("two words"); export default {};`, /message name must match/],
  ];
  for (const [source, message] of cases) {
    const directory = project(t, { "symphony.config.ts": source });
    await assert.rejects(loadConfig({ directory, environment: {} }), { code: "CONFIG_INVALID", message }, source);
  }
});

test("a file that was asked for must exist; no other is taken instead", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG });
  await assert.rejects(loadConfig({ directory, file: "else.ts", environment: {} }), {
    code: "CONFIG_INVALID",
    message: /else\.ts does not exist/,
  });
  mkdirSync(join(directory, "conf"));
  writeFileSync(join(directory, "conf/mine.ts"), CONFIG);
  assert.equal((await loadConfig({ directory, file: "conf/mine.ts", environment: {} })).parsed.worker.batchSize, 3);
});
