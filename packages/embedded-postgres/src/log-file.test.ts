import assert from "node:assert/strict";
import { closeSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { openLog, rotateLog, tailOf } from "./log-file.ts";

function newLog(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "symphony-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "server.log");
}

it("bounds a log that is being written to, and keeps the text before", (t) => {
  const path = newLog(t);
  const file = openLog(path);
  writeSync(file, "x".repeat(5 * 1024 * 1024));
  rotateLog(path);
  writeSync(file, "after\n");
  closeSync(file);
  assert.equal(readFileSync(path, "utf8"), "after\n");
  assert.equal(statSync(`${path}.1`).size, 5 * 1024 * 1024);
});

it("leaves a short log alone", (t) => {
  const path = newLog(t);
  writeFileSync(path, "short\n");
  closeSync(openLog(path));
  assert.equal(readFileSync(path, "utf8"), "short\n");
});

it("quotes the end of a log, and nothing where there is none", (t) => {
  const path = newLog(t);
  assert.equal(tailOf(path), "");
  writeFileSync(path, `${"early ".repeat(1000)}\nthe reason\n`);
  assert.match(tailOf(path), /the reason$/);
  assert.ok(tailOf(path).length <= 2000);
});
