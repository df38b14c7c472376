import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readVariable } from "./environment.ts";
import { testDatabase } from "./testing/database.ts";
import { project } from "./testing/project.ts";
import { run } from "./testing/symphony.ts";

test("reads a secret from the file that NAME_FILE names, without its line break", (t) => {
  const path = join(project(t, {}), "secret");
  writeFileSync(path, "postgres://u:p@h/db\n");
  assert.deepEqual(readVariable({ DATABASE_URL_FILE: path }, "DATABASE_URL", { secret: true }), {
    value: "postgres://u:p@h/db",
    variable: "DATABASE_URL_FILE",
  });
});

test("takes an empty variable for unset", () => {
  assert.equal(readVariable({ CRON_SECRET: "" }, "CRON_SECRET", { secret: true }), undefined);
});

test("refuses NAME and NAME_FILE that differ, and a file that cannot be read", (t) => {
  const path = join(project(t, { secret: "2" }), "secret");
  assert.throws(() => readVariable({ A: "1", A_FILE: path }, "A", { secret: true }), { code: "CONFIG_INVALID", message: /A and A_FILE/ });
  assert.equal(readVariable({ A: "2", A_FILE: path }, "A", { secret: true })?.variable, "A_FILE");
  assert.throws(() => readVariable({ A_FILE: "/no/such" }, "A", { secret: true }), {
    code: "CONFIG_INVALID",
    message: /A_FILE names \/no\/such/,
  });
});

test("leaves NAME_FILE alone when NAME is no secret", () => {
  assert.equal(readVariable({ A_FILE: "/no/such" }, "A"), undefined);
});

test("a command takes the database from the file that DATABASE_URL_FILE names", async (t) => {
  const { url } = await testDatabase(t);
  const directory = project(t, { url: `${url}\n` });
  const done = await run(t, ["setup"], { directory, environment: { DATABASE_URL_FILE: join(directory, "url") } });
  assert.equal(done.code, 0, done.err);
});
