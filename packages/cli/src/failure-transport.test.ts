import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { type FailedRow, workerProject } from "./testing/worker-project.ts";

const CONFIG = `import { appendFileSync, existsSync } from "node:fs";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const url = (name) => new URL(name, import.meta.url);
const dsn = process.env.DATABASE_URL;
export default defineConfig({
  transports: {
    orders: { dsn, options: { schema: "orders" } },
    failures: { dsn, options: { schema: "failures" } },
  },
  routing: { "*": "orders" },
  failureTransport: "failures",
  handlers: [
    defineHandler(defineMessage("pay", { retry: { maxRetries: 0 } }), ({ n }) => {
      if (!existsSync(url("repaired"))) throw new Error("no money");
      appendFileSync(url("handled.log"), "paid " + n + "\\n");
    }, { name: "pay" }),
  ],
});
`;

test("dead letters go to the failure transport; failed list, show, groups, retry and remove find them there", async (t) => {
  const { directory, json, start, handled } = await workerProject(t);
  writeFileSync(join(directory, "symphony.config.ts"), CONFIG);
  await json(["dispatch", "--many"], [0, 1, 2].map((n) => `${JSON.stringify({ type: "pay", payload: { n } })}\n`).join(""));
  const worker = start(["consume", "orders", "--processes", "1", "--health-port", "0"]);
  const list = async (...flags: string[]) =>
    (await json<{ messages: readonly (FailedRow & { transport: string })[] }>(["failed", "list", ...flags])).messages;
  await waitFor(async () => (await list("--transport", "failures")).length === 3, { timeoutMs: 30_000, what: "three dead letters" });
  assert.deepEqual(await list("--transport", "orders"), []);
  const all = await list();
  assert.deepEqual([...new Set(all.map(({ transport, queue }) => `${transport} ${queue}`))], ["failures orders/default"]);
  const [first, second, third] = all.map(({ id }) => id) as [string, string, string];
  assert.equal((await json<{ error: { message: string } }>(["failed", "show", first])).error.message, "no money");
  const { groups } = await json<{ groups: readonly { count: number }[] }>(["failed", "groups"]);
  assert.deepEqual(
    groups.map(({ count }) => count),
    [3],
  );
  writeFileSync(join(directory, "repaired"), "");
  assert.deepEqual((await json<{ redriven: readonly string[] }>(["failed", "retry", first])).redriven, [first]);
  await waitFor(() => handled().length === 1, { what: "the message to be handled at last" });
  assert.deepEqual((await json<{ ids: readonly string[] }>(["failed", "remove", second, "--force"])).ids, [second]);
  assert.deepEqual(
    (await list()).map(({ id }) => id),
    [third],
  );
  worker.child.kill("SIGTERM");
  assert.equal((await worker.ended).code, 0);
});
