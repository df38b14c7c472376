import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { testDatabase } from "./testing/database.ts";
import { project } from "./testing/project.ts";
import { runJson, start } from "./testing/symphony.ts";

const CONFIG = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
import { hello } from "./handlers.ts";
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL ?? "embedded:" } },
  handlers: [defineHandler(defineMessage("hello"), hello)],
});`;
const handlers = (version: string): string => `import { appendFileSync } from "node:fs";
export const hello = () => appendFileSync(new URL("handled.log", import.meta.url), "${version}\\n");`;

test("dev brings its own PostgreSQL, restarts on a change, waits out a broken file and ends on SIGTERM", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG, "handlers.ts": handlers("first") });
  const given = process.env.DATABASE_URL === undefined ? undefined : (await testDatabase(t)).url;
  const environment = { DATABASE_URL: given, SYMPHONY_HEALTH_PORT: "0", SYMPHONY_WORKER_PROCESSES: "1", SYMPHONY_ADMIN_PORT: "0" };
  const log = join(directory, "handled.log");
  const handled = (): string => (existsSync(log) ? readFileSync(log, "utf8") : "");
  const dev = start(t, ["dev"], { directory, environment });
  await dev.saying(/"fleet starting"/);
  const [, token = ""] = await dev.saying(/admin API: with the token (\S+)/);
  const [, url = ""] = await dev.saying(/"url":"([^"]+)"/);
  const asked = await fetch(`${url}/api/symphony/status`, { headers: { authorization: `Bearer ${token}`, connection: "close" } });
  assert.equal(asked.status, 200, await asked.text());
  await runJson(t, ["dispatch", "hello"], { directory, environment });
  await waitFor(() => handled() === "first\n", { what: "the first message" });

  writeFileSync(join(directory, "handlers.ts"), "export const hello = ;");
  await dev.saying(/dev: restarting: handlers\.ts changed/);
  await dev.saying(/dev: stopped \(exit code 64\); waiting for a change/);
  writeFileSync(join(directory, "handlers.ts"), handlers("second"));
  await dev.saying(/"fleet starting"[\s\S]*"fleet starting"/);
  await runJson(t, ["dispatch", "hello"], { directory, environment });
  await waitFor(() => handled() === "first\nsecond\n", { what: "the second message" });

  dev.child.kill("SIGTERM");
  const { code, signal, err } = await dev.ended;
  assert.deepEqual([code, signal], [0, null], err);
  assert.doesNotMatch(dev.text(), /postgres:\/\/[^:@]+:(?!\*\*\*)/, "no password is shown");
});
