import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCli } from "./cli.ts";
import { leaveLastWords } from "./termination-log.ts";
import { memoryIo } from "./testing/memory-io.ts";

function directory(t: { after(done: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), "symphony-last-words-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("writes into a file that is there, and no more than Kubernetes keeps", (t) => {
  const file = join(directory(t), "log");
  leaveLastWords("nobody reads this", file, true);
  assert.equal(existsSync(file), false);
  writeFileSync(file, "");
  leaveLastWords("beside the container's own process", file, false);
  assert.equal(readFileSync(file, "utf8"), "");
  leaveLastWords("é".repeat(5_000), file, true);
  assert.equal(readFileSync(file).length, 4_096);
});

test("a command that fails leaves its cause, with its code and without secrets; one that is used wrongly too", async (t) => {
  const words: string[] = [];
  const io = (environment = {}) => ({
    ...memoryIo({ directory: directory(t), environment }),
    lastWords: (text: string) => void words.push(text),
  });
  const environment = { DATABASE_URL: "postgresql://u:hunter2@127.0.0.1:1/none" };
  assert.notEqual(await runCli(["status"], io(environment)), 0);
  assert.match(words[0] ?? "", /^TRANSPORT_UNAVAILABLE: .*127\.0\.0\.1:1/);
  assert.doesNotMatch(words[0] ?? "", /hunter2/);
  assert.notEqual(await runCli(["nothing-of-that-name"], io()), 0);
  assert.match(words[1] ?? "", /^\w+: .*nothing-of-that-name/);
  assert.equal(await runCli(["--help"], io()), 0);
  assert.equal(words.length, 2);
});
