import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "./config-file.ts";
import { readDatabaseUrl, readVariable } from "./environment.ts";
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

test("puts a user and a password that are kept apart into the connection string", (t) => {
  const url = "postgresql://db.example:5432/app?sslmode=require";
  const read = (more: Record<string, string>) => readDatabaseUrl({ DATABASE_URL: url, ...more })?.value;
  const path = join(project(t, { password: "p@s:s/ä\n" }), "password");
  assert.equal(read({}), url);
  assert.equal(
    read({ DATABASE_USERNAME: "app", DATABASE_PASSWORD_FILE: path }),
    "postgresql://app:p%40s%3As%2F%C3%A4@db.example:5432/app?sslmode=require",
  );
  assert.equal(read({ DATABASE_USERNAME: "app" }), "postgresql://app@db.example:5432/app?sslmode=require");
  const withUser = "postgresql://app@db.example/app";
  assert.equal(read({ DATABASE_URL: withUser, DATABASE_PASSWORD: "x" }), "postgresql://app:x@db.example/app");
  assert.equal(read({ DATABASE_URL: withUser, DATABASE_USERNAME: "app" }), withUser);
});

test("refuses a second password, and one without an address", () => {
  const path = "DATABASE_PASSWORD";
  const url = "postgresql://u:one@h/d";
  assert.throws(() => readDatabaseUrl({ DATABASE_URL: url, DATABASE_PASSWORD: "two" }), {
    code: "CONFIG_INVALID",
    message: /DATABASE_PASSWORD is set, and DATABASE_URL holds another/,
    details: { path },
  });
  for (const given of [undefined, "embedded:"]) {
    assert.throws(() => readDatabaseUrl({ DATABASE_URL: given, DATABASE_PASSWORD: "two" }), {
      code: "CONFIG_INVALID",
      message: /DATABASE_URL must say where the database is/,
      details: { path },
    });
  }
});

test("a command takes user and password from files of their own, and shows neither file nor password", async (t) => {
  const database = await testDatabase(t);
  const url = new URL(database.url);
  const directory = project(t, { username: `${decodeURIComponent(url.username)}\n`, password: `${decodeURIComponent(url.password)}\n` });
  url.username = "";
  url.password = "";
  const environment = {
    DATABASE_URL: url.href,
    DATABASE_USERNAME_FILE: join(directory, "username"),
    DATABASE_PASSWORD_FILE: join(directory, "password"),
  };
  const done = await run(t, ["setup"], { directory, environment });
  assert.equal(done.code, 0, done.err);
  const shown = await run(t, ["debug", "config", "--json"], { directory, environment });
  assert.equal(shown.code, 0, shown.err);
  assert.ok(!shown.out.includes(readFileSync(join(directory, "password"), "utf8").trim()), "the password is shown");
});

test("the environment sets the timeouts of every database and message, and beats the configuration", async (t) => {
  const file = `export default {
    transports: { a: { dsn: "postgres://h/d", options: { statementTimeoutMs: 9000, poolSize: 4 } }, b: { dsn: "sync:" } },
    routing: { "*": "a" }, defaults: { timeoutMs: 7000 } };`;
  const directory = project(t, { "symphony.config.mjs": file });
  const load = async (environment: Record<string, string>) => (await loadConfig({ directory, environment })).parsed;
  const plain = await load({});
  assert.deepEqual([plain.transports.a?.options, plain.defaults.timeoutMs], [{ statementTimeoutMs: 9_000, poolSize: 4 }, 7_000]);
  const set = await load({
    SYMPHONY_DATABASE_CONNECT_TIMEOUT: "1000",
    SYMPHONY_DATABASE_STATEMENT_TIMEOUT: "2000",
    SYMPHONY_DATABASE_LOCK_TIMEOUT: "3000",
    SYMPHONY_WORKER_MESSAGE_TIMEOUT: "60000",
  });
  const expected = { statementTimeoutMs: 2_000, poolSize: 4, connectTimeoutMs: 1_000, lockTimeoutMs: 3_000 };
  assert.deepEqual([set.transports.a?.options, set.transports.b?.options, set.defaults.timeoutMs], [expected, {}, 60_000]);
  await assert.rejects(load({ SYMPHONY_DATABASE_LOCK_TIMEOUT: "soon" }), {
    code: "OPTIONS_INVALID",
    message: /SYMPHONY_DATABASE_LOCK_TIMEOUT must be an integer from 100/,
  });
});
