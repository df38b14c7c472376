import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { project } from "./testing/project.ts";

const CONFIG = `import { defineHandler, defineMessage } from "@symphony/core";
export default { transports: { default: { dsn: "memory:" } }, handlers: [defineHandler(defineMessage("note"), () => undefined)] };`;
const modules = ["io.ts", "cli.ts"].map((name) => JSON.stringify(new URL(name, import.meta.url).href));

/** As `main.ts` does it, with a signal that nobody has been told of when the command begins. */
const PROGRAM = `import { processIo } from ${modules[0]};
import { runCli } from ${modules[1]};
const io = processIo();
process.kill(process.pid, "SIGTERM");
process.exitCode = await runCli(["consume", "--json", "--health-port", "0"], io);`;

test("consume stops when SIGTERM came while its modules were loaded, and nobody has heard it yet", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const child = spawn(process.execPath, ["--conditions=source", "--input-type=module", "-e", PROGRAM], {
    cwd: directory,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const [code, signal] = await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
  // A fleet on a memory transport is refused with 64: whoever goes on comes to that.
  assert.deepEqual([code, signal], [0, null], said);
});
