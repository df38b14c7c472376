import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runCli } from "./cli.ts";
import { EXIT } from "./exit-codes.ts";
import { SETTINGS } from "./settings.ts";
import { memoryIo } from "./testing/memory-io.ts";

const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");

async function help(...line: string[]): Promise<string> {
  const io = memoryIo({ directory: "/" });
  assert.equal(await runCli([...line, "--help"], io), 0, io.errors());
  return io.output();
}

test("docs/cli.md has every command and every flag", async () => {
  const commands = [...(await help()).matchAll(/^ {2}symphony (\S+)/gm)].map((match) => match[1] ?? "");
  assert.ok(commands.length >= 8);
  for (const command of commands) assert.ok(page.includes(`symphony ${command}`), command);
  const subcommands = [
    ...["list", "groups", "show", "retry", "remove", "redrives"].map((name) => ["failed", name]),
    ...["pause", "resume", "purge"].map((name) => ["queue", name]),
    ...["list", "undo"].map((name) => ["audit", name]),
    ...["list", "run", "pause", "resume", "remove"].map((name) => ["schedule", name]),
  ];
  for (const line of [...commands.map((command) => [command]), ...subcommands]) {
    for (const [, flag] of (await help(...line)).matchAll(/ (--[a-z-]+) {2}/g)) {
      if (["--help", "--verbose"].includes(flag ?? "")) continue;
      assert.ok(page.includes(flag ?? ""), `${line.join(" ")} ${flag}`);
    }
  }
});

test("docs/cli.md has every variable and every exit code", () => {
  for (const definition of Object.values(SETTINGS)) {
    const { environment } = definition as { environment?: string };
    if (environment === undefined) continue;
    const short = environment.replace(/^SYMPHONY_WORKER/, "");
    assert.ok(page.includes(`\`${environment}`) || page.includes(`\`${short}\``), environment);
  }
  for (const code of Object.values(EXIT)) assert.match(page, new RegExp(`^\\| ${code} \\|`, "m"));
});
