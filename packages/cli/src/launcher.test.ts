import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { project } from "./testing/project.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/symphony", import.meta.url));
const OLD_NODE = "#!/bin/sh\necho v20.19.0\n";
const CONFIG = `export default { transports: { default: { dsn: "memory:" } } };`;

/** What the launcher itself calls, and nothing that could be a node. */
function toolsOnly(directory: string): string {
  const bin = join(directory, "tools");
  mkdirSync(bin, { recursive: true });
  for (const tool of ["readlink", "dirname", "sh", "cat"]) {
    const found = spawnSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).stdout.trim();
    symlinkSync(found, join(bin, tool));
  }
  return bin;
}

function run(file: string, path: string, directory: string, line: readonly string[] = ["debug", "--json"]) {
  return spawnSync(file, [...line], { cwd: directory, env: { PATH: path }, encoding: "utf8" });
}

test("starts without a build, through a chain of links, from a directory with blanks in its name", (t) => {
  const directory = project(t, { "with blank/symphony.config.mjs": CONFIG });
  const here = join(directory, "with blank");
  symlinkSync(LAUNCHER, join(here, "first"));
  symlinkSync("first", join(here, "second"));
  const { status, stdout, stderr } = run(join(here, "second"), `${dirname(process.execPath)}:${toolsOnly(directory)}`, here);
  assert.equal(status, 0, stderr);
  assert.equal((JSON.parse(stdout) as { file: string }).file, join(here, "symphony.config.mjs"));
});

test("takes the pinned Node.js when the one on the PATH is too old, or missing", (t) => {
  const directory = project(t, { "symphony.config.mjs": CONFIG, "old/node": OLD_NODE });
  chmodSync(join(directory, "old/node"), 0o755);
  const tools = toolsOnly(directory);
  for (const path of [`${join(directory, "old")}:${tools}`, tools]) {
    const { status, stderr } = run(LAUNCHER, path, directory);
    assert.equal(status, 0, stderr);
  }
});

test("says what is missing, and exits 70, when there is no Node.js that is new enough", (t) => {
  const directory = project(t, { "bin/x": "", "old/node": OLD_NODE });
  chmodSync(join(directory, "old/node"), 0o755);
  // Outside of this repository's tree: there is no pinned node above it.
  const copy = spawnSync("sh", ["-c", `d=$(mktemp -d) && mkdir "$d/bin" && cp "${LAUNCHER}" "$d/bin/symphony" && echo "$d"`], {
    encoding: "utf8",
  }).stdout.trim();
  t.after(() => spawnSync("rm", ["-r", copy]));
  const { status, stderr } = run(join(copy, "bin/symphony"), `${join(directory, "old")}:${toolsOnly(directory)}`, directory);
  assert.equal(status, 70);
  assert.match(stderr, /^symphony: needs Node\.js 24 or newer, and found .*old\/node \(v20\.19\.0\): install it/);
});

test("replaces itself: the process that is signalled is the one that was started", async (t) => {
  const directory = project(t, { "symphony.config.mjs": CONFIG });
  const child = spawn(LAUNCHER, ["status", "--watch", "--json"], { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  child.kill("SIGTERM");
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.once("close", (...end) => resolve(end)));
  assert.deepEqual([code, signal], [0, null]);
});

test("writes nothing into the directory it is started from", (t) => {
  const directory = project(t, { "symphony.config.mjs": CONFIG });
  run(LAUNCHER, `${dirname(process.execPath)}:${toolsOnly(directory)}`, directory);
  const { stdout } = spawnSync("ls", ["-A", directory], { encoding: "utf8" });
  assert.deepEqual(stdout.trim().split("\n"), ["symphony.config.mjs", "tools"]);
});
