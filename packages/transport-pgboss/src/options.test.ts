import assert from "node:assert/strict";
import { test } from "node:test";
import { OptionsError } from "@symphony/core";
import { parsePgBossOptions } from "./options.ts";

const DSN = "postgres://user:p%40ss@db.example:5433/app";
const rejected = (run: () => unknown, path: string, text: RegExp): void => {
  assert.throws(run, (error) => error instanceof OptionsError && error.path === path && text.test(error.message));
};

test("takes options from the query of the DSN, and lets explicit ones win", () => {
  const { target, options } = parsePgBossOptions(`${DSN}?schema=one&poolSize=7&notify=false&sslmode=disable`, { schema: "two" });
  assert.deepEqual([options.schema, options.poolSize, options.notify], ["two", 7, false]);
  assert.deepEqual(target, { kind: "server", connectionString: `${DSN}?sslmode=disable`, startup: "" });
});

test("has one default for every option", () => {
  const { options } = parsePgBossOptions(DSN, {});
  assert.deepEqual(options, {
    schema: "symphony",
    poolSize: 3,
    readOnly: false,
    autoSetup: true,
    notify: true,
    synchronousCommit: "on",
    path: "auto",
    idempotencyWindowSeconds: 86_400,
    deadLetterQueue: "failed",
    statementTimeoutMs: 4_000,
    connectTimeoutMs: 5_000,
    lockTimeoutMs: 2_000,
    coalesceMaxRows: 500,
    coalesceMaxWaitMs: 2,
    applicationName: "symphony",
  });
  assert.ok(Object.isFrozen(options));
});

test("refuses unknown options wherever they are, and names the nearest", () => {
  rejected(() => parsePgBossOptions(DSN, { shcema: "x" }, "transports.a"), "transports.a.shcema", /did you mean "schema"/);
  rejected(() => parsePgBossOptions(`${DSN}?poolsize=2`, {}, "transports.a"), "transports.a.dsn.poolsize", /did you mean "poolSize"/);
});

test("refuses values out of range and schemas that would need quotes", () => {
  rejected(() => parsePgBossOptions(`${DSN}?poolSize=0`, {}), "poolSize", /from 1 to 100/);
  rejected(() => parsePgBossOptions(DSN, { schema: "Drop; --" }), "schema", /must match/);
  rejected(() => parsePgBossOptions("mysql://x/y", {}), "dsn", /must begin with/);
});

test("reads the schemes pgboss and postgresql as PostgreSQL's own", () => {
  for (const scheme of ["pgboss", "postgresql", "POSTGRES"]) {
    const { target } = parsePgBossOptions(`${scheme}://h/d`, {});
    assert.equal(target.kind === "server" && target.connectionString, "postgres://h/d");
  }
});

test("keeps the start-up settings that a DSN asks for", () => {
  const { target } = parsePgBossOptions(`${DSN}?options=-c%20search_path%3Dapp&application_name=mine`, {});
  assert.equal(target.kind === "server" && target.startup, "-c search_path=app");
});

test("finds the directory of an embedded database", () => {
  const directory = (dsn: string): string | undefined => {
    const { target } = parsePgBossOptions(dsn, {});
    return target.kind === "embedded" ? target.directory : "not embedded";
  };
  assert.equal(directory("embedded:"), undefined);
  assert.equal(directory("embedded:?schema=x"), undefined);
  assert.equal(directory("embedded:.symphony/other"), ".symphony/other");
  assert.equal(directory("embedded:///var/lib/symphony"), "/var/lib/symphony");
  rejected(() => parsePgBossOptions("embedded:?sslmode=require", {}), "dsn", /driver parameters/);
});
