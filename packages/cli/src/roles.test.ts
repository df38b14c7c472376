import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createPgBossTransport } from "@symphony/transport-pgboss";
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

/** A role with the rights of the guide, on a database that another one has set up. */
async function restricted(t: TestContext) {
  const database = await testDatabase(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const role = `symphony_role_${randomBytes(4).toString("hex")}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  const done = await run(t, ["setup"], { directory, environment: { DATABASE_URL: database.url } });
  assert.equal(done.code, 0, done.err);
  for (const statement of grants(role)
    .split(";")
    .filter((text) => text.trim() !== ""))
    await database.query(statement);
  const url = new URL(database.url);
  url.username = role;
  url.password = "secret";
  const options = { directory, environment: { DATABASE_URL: url.href, SYMPHONY_HEALTH_PORT: "0" } };
  return {
    database,
    role,
    url: url.href,
    symphony: async (...words: string[]): Promise<string> => {
      const { code, out, err } = await run(t, words, options);
      assert.equal(code, 0, `${words.join(" ")}: ${out}${err}`);
      return out;
    },
    try: (...words: string[]) => run(t, words, options),
    // Before the database goes, which a hook of the test would be too late for.
    [Symbol.asyncDispose]: async () => void (await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)),
  };
}

test("a role that may only read and write rows runs everything, when another one has set up", async (t) => {
  await using bed = await restricted(t);
  const { database, role, symphony } = bed;
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
  const [rights] = await database.query(`SELECT has_sequence_privilege('${role}', 'symphony.messenger_flush', 'UPDATE') AS flush`);
  assert.deepEqual(rights, { flush: true }, "its messages would be picked up later than others'");
  const create = database.query(`SET ROLE ${role}; CREATE TABLE symphony.mine ()`);
  await assert.rejects(create, /permission denied for schema symphony/);
});

test("the role of the guide adds to the record of actions and can neither change nor shorten it", async (t) => {
  await using bed = await restricted(t);
  const { database, role, symphony } = bed;
  await symphony("dispatch", "work", '{"fail":true}');
  await symphony("consume", "--limit", "1", "--processes", "1");
  await symphony("failed", "remove", "--all", "--force");
  const { records } = JSON.parse(await symphony("audit", "list", "--json")) as { records: { id: string; action: string }[] };
  assert.equal(records[0]?.action, "remove");
  await symphony("audit", "undo", records[0]?.id ?? "");
  assert.equal((JSON.parse(await symphony("failed", "list", "--json")) as { messages: unknown[] }).messages.length, 1);
  for (const statement of [
    "UPDATE symphony.messenger_audit SET actor = '{}'",
    "DELETE FROM symphony.messenger_audit",
    "TRUNCATE symphony.messenger_audit",
    "ALTER TABLE symphony.messenger_audit ADD COLUMN more int",
    "CREATE OR REPLACE FUNCTION symphony.messenger_forget_audit() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
  ])
    await assert.rejects(database.query(`SET ROLE ${role}; ${statement}`), /permission denied|must be owner/, statement);

  const transport = await createPgBossTransport({ dsn: bed.url, autoSetup: false });
  t.after(() => transport.close());
  await transport.tidyAudit();
  assert.equal((await transport.listAudit({ limit: 10 })).records.length, 2, "what is young stays");
  await database.query("UPDATE symphony.messenger_audit SET at = now() - interval '91 days' WHERE action = 'remove'");
  await transport.tidyAudit();
  assert.deepEqual(
    (await transport.listAudit({ limit: 10 })).records.map(({ action }) => action),
    ["undo"],
  );

  await database.query(`REVOKE INSERT ON symphony.messenger_audit FROM ${role}`);
  const { code, err } = await bed.try("failed", "remove", "--all", "--force");
  assert.equal(code, 1);
  assert.match(err, /record/);
  assert.equal(
    (JSON.parse(await symphony("failed", "list", "--json")) as { messages: unknown[] }).messages.length,
    1,
    "nothing was removed",
  );
});
