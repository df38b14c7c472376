import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { dirname } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runCli } from "./cli.ts";
import { fleetProject } from "./testing/fleet-project.ts";
import { memoryIo } from "./testing/memory-io.ts";

const page = readFileSync(new URL("../../../docs/fleet.md", import.meta.url), "utf8");
const LAUNCHER = fileURLToPath(new URL("../bin/symphony", import.meta.url));

test("docs/fleet.md names no flag that does not exist", async () => {
  const io = memoryIo({ directory: "/" });
  assert.equal(await runCli(["consume", "--help"], io), 0, io.errors());
  const health = memoryIo({ directory: "/" });
  assert.equal(await runCli(["health", "--help"], health), 0, health.errors());
  const flags = new Set([...page.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag));
  flags.delete("--list"); // of the harness
  assert.ok(flags.size >= 8);
  for (const flag of flags) assert.ok(`${io.output()}${health.output()}`.includes(`${flag} `), flag);
});

test("the tour of docs/fleet.md does what it says", { timeout: 120_000 }, async (t) => {
  const { directory, database } = await fleetProject(t);
  const [, tour = ""] = /```sh\n(symphony consume[^`]+)```/.exec(page) ?? [];
  const environment = { DATABASE_URL: database.url, SYMPHONY_HEALTH_PORT: await freePort() };
  // Both are being replaced at that moment: one that was listed may have left before the signal comes.
  const script = tour.replace(/^kill -9 \$\(.*?\)/m, "$& || true");
  assert.notEqual(script, tour);
  const { code, said } = await shell(t, `set -e\n${script}`, directory, environment);
  assert.equal(code, 0, said);
  assert.match(said, /2 workers/);
  const lines = [
    /replacing the worker processes one by one/,
    // A successor may have come while the one before it has not left yet.
    /asked [23] workers/,
    /paused/,
    /resumed/,
    /worker process died/,
    /fleet stopped/,
  ];
  for (const line of lines) assert.match(said, line);
});

async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

async function shell(t: TestContext, script: string, directory: string, environment: Readonly<Record<string, string>>) {
  const path = `${dirname(LAUNCHER)}:${process.env.PATH}`;
  const child = spawn("sh", ["-c", script], {
    cwd: directory,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...environment, PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  t.after(() => {
    try {
      process.kill(-(child.pid ?? 0), "SIGKILL");
    } catch {
      // Nobody of it is left.
    }
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said };
}
