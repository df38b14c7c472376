import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessenger, silentLogger } from "@symphony/core";
import { loadConfig } from "./config-file.ts";
import { runConsume } from "./run-consume.ts";
import { resolveSettings } from "./settings.ts";
import { workerProject } from "./testing/worker-project.ts";
import { resolveWorkerOptions } from "./worker-settings.ts";

async function prepared(t: Parameters<typeof workerProject>[0], flags: Record<string, string> = {}) {
  const { directory, database, handled, handling } = await workerProject(t);
  const environment = { DATABASE_URL: database.url };
  // The configuration reads the real environment.
  const outer = process.env.DATABASE_URL;
  process.env.DATABASE_URL = database.url;
  const loaded = await loadConfig({ directory, environment });
  if (outer === undefined) delete process.env.DATABASE_URL;
  else process.env.DATABASE_URL = outer;
  const settings = resolveSettings({ flags: { "health-port": "0", ...flags }, environment, config: loaded.parsed.worker });
  const options = { configFile: loaded.file, config: loaded.config, plan: resolveWorkerOptions(settings), logger: silentLogger };
  const messenger = await createMessenger(loaded.config);
  t.after(() => messenger.close());
  const send = (type: string, payload: unknown) => {
    const found = messenger.registry.get(type);
    assert.ok(found);
    return messenger.dispatch(found, payload);
  };
  return { options, send, handled, handling };
}

test("consumes in this process, with threads, until a limit is met", async (t) => {
  const { options, send, handled } = await prepared(t, { limit: "3" });
  await send("greet", { name: "a" });
  await send("inline", {});
  await send("boom", {});
  assert.deepEqual(await runConsume(options), { reason: "message_limit", processed: 3, failed: 1 });
  assert.deepEqual([...handled()].sort(), ["greet a", "inline"]);
});

test("whoever started it can stop it", async (t) => {
  const { options, send, handling } = await prepared(t);
  await send("greet", { name: "b" });
  const result = await runConsume({ ...options, onStarted: (control) => void handling(/greet b/).then(() => control.stop("manual")) });
  assert.deepEqual(result, { reason: "manual", processed: 1, failed: 0 });
});

test("is given up while it connects when its signal aborts", async (t) => {
  const { options } = await prepared(t);
  await assert.rejects(runConsume({ ...options, signal: AbortSignal.abort() }), { code: "INTERRUPTED" });
});

test("refuses a transport that is not there", async (t) => {
  const { options } = await prepared(t);
  await assert.rejects(runConsume({ ...options, transports: ["nope"] }), { code: "CONFIG_INVALID", message: /configured: default/ });
});
