import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkerConfig } from "@symphony/core";
import { resolveSettings, SETTINGS, type SettingName, shown, unknownVariables } from "./settings.ts";

test("flags beat environment, environment beats config, config beats defaults", () => {
  const environment = { SYMPHONY_WORKER_BATCH_SIZE: "20" };
  const config: WorkerConfig = { batchSize: 30 };
  const at = (input: Parameters<typeof resolveSettings>[0]) => resolveSettings(input).batchSize;
  assert.deepEqual(at({ flags: { "batch-size": "5" }, environment, config }), { value: 5, source: "flag", from: "--batch-size" });
  assert.deepEqual(at({ environment, config }), { value: 20, source: "environment", from: "SYMPHONY_WORKER_BATCH_SIZE" });
  assert.deepEqual(at({ config }), { value: 30, source: "config", from: "worker.batchSize" });
  assert.deepEqual(at({}), { value: 10, source: "default", from: "" });
});

test("the order of precedence holds for every setting that has several places", () => {
  const samples: Record<string, readonly [string, unknown]> = {
    queues: ["a,b", ["a", "b"]],
    processes: ["auto", "auto"],
    adminHost: ["h", "h"],
    bus: ["audit", "audit"],
    logLevel: ["warn", "warn"],
  };
  for (const [name, definition] of Object.entries(SETTINGS)) {
    const { flag, environment } = definition as { flag?: string; environment?: string };
    if (flag === undefined || environment === undefined) continue;
    const [given, expected] = samples[name] ?? ["77", 77];
    const inSeconds = "flagInSeconds" in definition;
    const flagged = resolveSettings({ flags: { [flag]: given }, environment: { [environment]: given } })[name as SettingName];
    assert.deepEqual([flagged.value, flagged.source], [inSeconds ? 77_000 : expected, "flag"], name);
    const set = resolveSettings({ environment: { [environment]: given } })[name as SettingName];
    assert.deepEqual([set.value, set.source, set.from], [expected, "environment", environment], name);
  }
});

test("the defaults are those of the contract", () => {
  const { batchSize, maxConcurrency, pollInterval, timeLimit, shutdownTimeout, healthPort, adminPort } = resolveSettings({});
  assert.deepEqual(
    [batchSize, maxConcurrency, pollInterval, timeLimit, shutdownTimeout, healthPort, adminPort].map((setting) => setting.value),
    [10, 5, 1000, undefined, 30, 8081, 8080],
  );
});

test("--time-limit counts in seconds, the variable in milliseconds", () => {
  assert.equal(resolveSettings({ flags: { "time-limit": "1.5" } }).timeLimit.value, 1_500);
  assert.equal(resolveSettings({ environment: { SYMPHONY_WORKER_TIME_LIMIT: "50000" } }).timeLimit.value, 50_000);
});

test("memory limits take K, M and G", () => {
  const at = (text: string): unknown => resolveSettings({ flags: { "memory-limit": text } }).memoryLimit.value;
  assert.deepEqual([at("512"), at("512M"), at("2G"), at("2048K"), at("256MB")], [512, 512, 2048, 2, 256]);
  assert.throws(() => at("lots"), { code: "USAGE", message: /--memory-limit must be a number of MB/ });
});

test("a bad flag is bad usage, a bad variable is bad configuration, both by name", () => {
  assert.throws(() => resolveSettings({ flags: { "batch-size": "0" } }), {
    code: "USAGE",
    message: /--batch-size must be an integer from 1 to 10000, got "0"/,
  });
  assert.throws(() => resolveSettings({ flags: { limit: ["1", "2"] } }), { code: "USAGE", message: /more than once/ });
  assert.throws(() => resolveSettings({ environment: { SYMPHONY_WORKER_THREADS: "many" } }), {
    code: "OPTIONS_INVALID",
    message: /SYMPHONY_WORKER_THREADS/,
  });
  assert.throws(() => resolveSettings({ environment: { SYMPHONY_LOG_LEVEL: "loud" } }), { code: "OPTIONS_INVALID" });
});

test("queues come as a list, comma separated or repeated, in order and once each", () => {
  assert.deepEqual(resolveSettings({ flags: { queues: ["high,low", "bulk", "low"] } }).queues.value, ["high", "low", "bulk"]);
  assert.throws(() => resolveSettings({ flags: { queues: "a b" } }), { code: "USAGE" });
  assert.deepEqual(resolveSettings({ flags: { queues: ["high=3", "low=1"] } }).queues.value, { high: 3, low: 1 });
  assert.throws(() => resolveSettings({ flags: { queues: "high=3,low" } }), { code: "USAGE" });
});

test("shows no secret, and of a DSN all but the password", () => {
  const settings = resolveSettings({ environment: { CRON_SECRET: "tops3cret", DATABASE_URL: "postgres://u:hunter22@h/d" } });
  assert.equal(shown("cronSecret", settings.cronSecret), "***");
  assert.equal(shown("databaseUrl", settings.databaseUrl), "postgres://u:***@h/d");
});

test("ignores the port that Kubernetes announces for a service of ours", () => {
  assert.equal(resolveSettings({ environment: { SYMPHONY_ADMIN_PORT: "tcp://10.0.0.1:8080" } }).adminPort.value, 8080);
});

test("points at a misspelt variable and leaves foreign ones alone", () => {
  assert.deepEqual(unknownVariables({ SYMPHONY_WORKER_BATCHSIZE: "1", SYMPHONY_SERVICE_PORT_HTTP: "80", HOME: "/" }), [
    'SYMPHONY_WORKER_BATCHSIZE is read by nobody; did you mean "SYMPHONY_WORKER_BATCH_SIZE"?',
  ]);
});
