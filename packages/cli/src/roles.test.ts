import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { testDatabase } from "./testing/database.ts";
import { project } from "./testing/project.ts";
import { run } from "./testing/symphony.ts";

const CONFIG = `import { defineConfig, defineHandler, defineMessage, defineSchedule } from "@symphony/core";
const Work = defineMessage("work", { retry: { maxRetries: 0 } });
const Bill = defineMessage("bill");
const Tick = defineMessage("tick");
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL } },
  handlers: [
    defineHandler(Work, (payload) => { if (payload.fail) throw new Error("no"); }, { name: "work" }),
    defineHandler(Bill, async (_, { db }) => { await db.query("SELECT 1"); }, { name: "bill", transactional: true }),
    defineHandler(Tick, () => undefined, { name: "tick" }),
  ],
  schedules: [defineSchedule("nightly", { cron: "0 3 * * *", timeZone: "UTC", message: Tick, payload: {} })],
});
`;

/** The statements of the guide: what is written there is what is tried. */
function grants(role: string): string {
  const guide = readFileSync(fileURLToPath(new URL("../../../docs/kubernetes.md", import.meta.url)), "utf8");
  const [, sql] = /```sql\n([\s\S]*?)```/.exec(guide) ?? [];
  assert.ok(sql !== undefined);
  return sql.replaceAll("messenger_runtime", role).replaceAll("messenger_owner", "CURRENT_USER");
}

test("a role that may only read and write rows runs everything, when another one has set up", async (t) => {
  const database = await testDatabase(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const role = `symphony_role_${randomBytes(4).toString("hex")}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  // Before the database goes, which a hook of the test would be too late for.
  await using _role = { [Symbol.asyncDispose]: async () => void (await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)) };
  const asOwner = { directory, environment: { DATABASE_URL: database.url } };
  const done = await run(t, ["setup"], asOwner);
  assert.equal(done.code, 0, done.err);
  for (const statement of grants(role)
    .split(";")
    .filter((text) => text.trim() !== ""))
    await database.query(statement);

  const url = new URL(database.url);
  url.username = role;
  url.password = "secret";
  const options = { directory, environment: { DATABASE_URL: url.href, SYMPHONY_HEALTH_PORT: "0" } };
  const symphony = async (...words: string[]): Promise<string> => {
    const { code, out, err } = await run(t, words, options);
    assert.equal(code, 0, `${words.join(" ")}: ${out}${err}`);
    return out;
  };
  await symphony("setup");
  await symphony("dispatch", "work", "{}");
  await symphony("dispatch", "work", '{"fail":true}');
  await symphony("dispatch", "bill", "{}", "--idempotency-key", "once");
  await symphony("schedule", "run", "nightly");
  await symphony("consume", "--limit", "4", "--processes", "1");
  const failed = JSON.parse(await symphony("failed", "list", "--json")) as { messages: { id: string }[] };
  assert.equal(failed.messages.length, 1);
  await symphony("failed", "retry", failed.messages[0]?.id ?? "");
  await symphony("consume", "--limit", "1", "--processes", "1");
  await symphony("failed", "remove", "--all", "--force");
  await symphony("queue", "pause", "default");
  await symphony("queue", "resume", "default");
  await symphony("schedule", "pause", "nightly");
  await symphony("status");
  const create = database.query(`SET ROLE ${role}; CREATE TABLE symphony.mine ()`);
  await assert.rejects(create, /permission denied for schema symphony/);
});
