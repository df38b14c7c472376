import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { project } from "./testing/project.ts";
import { run as runCommand } from "./testing/symphony.ts";
import { workerProject } from "./testing/worker-project.ts";

/** One process, so that it is known how much is in flight. */
const ALONE = ["--processes", "1", "--health-port", "0"];

test("SIGTERM: finishes what is in flight, hands back the rest, exits 0", async (t) => {
  const { json, start, queues, handled, handling } = await workerProject(t);
  for (let i = 0; i < 3; i++) await json(["dispatch", "slow", '{"ms":700}']);
  const worker = start(["consume", "--concurrency", "1", ...ALONE]);
  await handling(/slow begins/);
  worker.child.kill("SIGTERM");
  const { code, signal, out, err } = await worker.ended;
  assert.deepEqual([code, signal], [0, null], out + err);
  assert.match(out, /finishing what is in flight/);
  assert.match(out, /"reason":"signal"/);
  assert.equal(handled().filter((line) => line.startsWith("slow begins")).length, 1);
  assert.equal(handled().filter((line) => line.startsWith("slow ends")).length, 1);
  const { default: queue } = await queues();
  assert.deepEqual([queue?.ready, queue?.active, queue?.completed], [2, 0, 1]);
});

test("a second SIGTERM hands back what is in flight at once, uncounted", async (t) => {
  const { json, start, queues, handling, failed } = await workerProject(t);
  await json(["dispatch", "slow", '{"ms":60000}']);
  const worker = start(["consume", ...ALONE]);
  await handling(/slow begins/);
  worker.child.kill("SIGTERM");
  await worker.saying(/finishing what is in flight/);
  worker.child.kill("SIGTERM");
  const { code, out } = await worker.ended;
  assert.equal(code, 0, out);
  assert.match(out, /handing back what is in flight/);
  const { default: queue } = await queues();
  assert.deepEqual([queue?.ready, queue?.active], [1, 0]);
  assert.equal((await failed()).length, 0);
});

test("a signal while the workers are still loading ends it without waiting for the shutdown timeout", async (t) => {
  const { start } = await workerProject(t);
  const worker = start(["consume", "--shutdown-timeout", "600", ...ALONE]);
  await worker.saying(/"fleet starting"/);
  worker.child.kill("SIGTERM");
  // The harness kills after a minute what has not ended by itself.
  assert.deepEqual([(await worker.ended).code, (await worker.ended).signal], [0, null]);
});

test("SIGINT and SIGQUIT stop it as well, and --shutdown-timeout bounds the waiting", async (t) => {
  const { json, start, queues, handling } = await workerProject(t);
  for (const signal of ["SIGINT", "SIGQUIT"] as const) {
    const idle = start(["consume", ...ALONE]);
    await idle.saying(/"fleet starting"/);
    idle.child.kill(signal);
    assert.deepEqual([(await idle.ended).code, (await idle.ended).signal], [0, null], signal);
  }
  await json(["dispatch", "slow", '{"ms":60000}']);
  const worker = start(["consume", "--shutdown-timeout", "1", ...ALONE]);
  await handling(/slow begins/);
  worker.child.kill("SIGTERM");
  assert.equal((await worker.ended).code, 0);
  assert.equal((await queues()).default?.ready, 1);
});

test("SIGUSR2 pauses receiving, SIGCONT resumes it", async (t) => {
  const { json, start, queues, handling, handled } = await workerProject(t);
  const worker = start(["consume", "--poll-interval", "50", ...ALONE]);
  await worker.saying(/"fleet starting"/);
  await json(["dispatch", "greet", '{"name":"first"}']);
  await handling(/greet first/);
  worker.child.kill("SIGUSR2");
  await worker.saying(/paused/);
  await json(["dispatch", "greet", '{"name":"second"}']);
  // Each command takes many times the poll interval: a worker that received would have it by now.
  assert.equal((await queues()).default?.ready, 1);
  assert.equal(handled().includes("greet second"), false);
  worker.child.kill("SIGCONT");
  await handling(/greet second/);
  worker.child.kill("SIGTERM");
  assert.equal((await worker.ended).code, 0);
});

test("a parent that gave it a channel and is gone counts as SIGTERM", async (t) => {
  const { directory, database } = await workerProject(t);
  const launcher = new URL("../bin/symphony", import.meta.url).pathname;
  const script = `const { spawn } = require("node:child_process");
    const child = spawn(${JSON.stringify(launcher)}, ["consume", "--health-port", "0"], { stdio: ["ignore", "pipe", "inherit", "ipc"], detached: true });
    console.log("pid", child.pid);
    child.stdout.once("data", () => process.exit(0));`;
  const { spawn } = await import("node:child_process");
  const parent = spawn(process.execPath, ["-e", script], {
    cwd: directory,
    env: { ...process.env, DATABASE_URL: database.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  parent.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  await new Promise((resolve) => parent.once("close", resolve));
  const pid = Number(/pid (\d+)/.exec(out)?.[1]);
  const isGone = (): boolean => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  };
  await waitFor(isGone, { what: "the worker to end" });
});

test("stops at each limit with exit code 0 and says which", async (t) => {
  const { run, handled } = await workerProject(t);
  await run(["dispatch", "boom", "--many"], "{}\n{}\n{}\n{}\n");
  await run(["dispatch", "greet", "--many"], Array.from({ length: 20 }, (_, i) => `{"name":"${i}"}`).join("\n"));
  const limited = await run(["consume", "--queues", "default", "--limit", "7", ...ALONE]);
  assert.deepEqual([limited.code, handled().length], [0, 7], limited.out);
  const failing = await run(["consume", "--queues", "risky", "--failure-limit", "2", "--concurrency", "1", ...ALONE]);
  assert.equal(failing.code, 0, failing.out);
  assert.match(failing.out, /"reason":"failure_limit"/);
  const timed = await run(["consume", "--time-limit", "0.5", ...ALONE]);
  assert.equal(timed.code, 0);
  assert.match(timed.out, /"reason":"time_limit"/);
});

test("the environment sets what flags do not", async (t) => {
  const { directory, database, json, handled } = await workerProject(t);
  for (let i = 0; i < 3; i++) await json(["dispatch", "greet", `{"name":"${i}"}`]);
  const environment = {
    DATABASE_URL: database.url,
    SYMPHONY_WORKER_MESSAGE_LIMIT: "2",
    SYMPHONY_HEALTH_PORT: "0",
    SYMPHONY_LOG_LEVEL: "error",
  };
  const { code, out } = await runCommand(t, ["consume"], { directory, environment });
  assert.deepEqual([code, out, handled().length], [0, "", 2]);
});

test("shows itself in workers and status while it runs, answers probes, and is gone afterwards", async (t) => {
  const { json, start } = await workerProject(t);
  const worker = start(["consume", "--queues", "risky,default", "--concurrency", "3", ...ALONE]);
  const [, port] = await worker.saying(/"health_port":(\d+)/);
  const ready = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200;
  await waitFor(ready, { what: "readiness" });
  const { workers } = await json<{ workers: { queues: string[]; slots: number; transport: string }[] }>(["workers"]);
  assert.deepEqual(
    workers.map(({ queues, slots, transport }) => ({ queues, slots, transport })),
    [{ queues: ["risky", "default"], slots: 3, transport: "default" }],
  );
  worker.child.kill("SIGTERM");
  await worker.ended;
  assert.deepEqual((await json<{ workers: unknown[] }>(["workers"])).workers, []);
});

test("a port that is taken is an error when it was asked for", async (t) => {
  const { start, run } = await workerProject(t);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const refused = await run(["consume", "--health-port", String(port)]);
  assert.equal(refused.code, 64);
  assert.match(refused.err, new RegExp(`port ${port}`));
  // The default port may be anybody's on this machine: taken or not, the worker starts.
  const worker = start(["consume"]);
  await worker.saying(/"fleet starting"/);
  worker.child.kill("SIGTERM");
  assert.equal((await worker.ended).code, 0);
});

test("refuses to work without handlers: every message would be given up on", async (t) => {
  const bare = project(t, { "symphony.config.ts": `export default { transports: { default: { dsn: "memory:" } } };` });
  const empty = await runCommand(t, ["consume"], { directory: bare });
  assert.equal(empty.code, 64);
  assert.match(empty.err, /config\.handlers is empty/);
  const none = await runCommand(t, ["consume"], { directory: "/", environment: { DATABASE_URL: "postgres://127.0.0.1:1/x" } });
  assert.equal(none.code, 64);
  assert.match(none.err, /there is no symphony\.config\.ts/);
});

test("bad flags of consume exit 2 before anything is connected", async (t) => {
  const config = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
    export default defineConfig({ transports: { a: { dsn: "memory:" }, b: { dsn: "postgres://127.0.0.1:1/x" } }, routing: { "*": "a" }, handlers: [defineHandler(defineMessage("m"), () => {})] });`;
  const directory = project(t, { "symphony.config.ts": config });
  const lines: readonly (readonly [readonly string[], RegExp])[] = [
    [["nope"], /no transport "nope"; configured: a, b/],
    [["a", "--all"], /not both/],
    [["--exclude", "a"], /--exclude needs --all/],
    [["--all", "--exclude", "a", "--exclude", "b"], /leaves no transport/],
    [["--all", "--exclude", "c"], /no transport "c"/],
    [["--processes", "many"], /--processes/],
    [["--concurrency", "0"], /--concurrency/],
    [["--time-limit", "-1"], /--time-limit|Unknown argument|Not enough arguments/],
    [["--queues", "a b"], /--queues/],
  ];
  for (const [flags, message] of lines) {
    const { code, err, out } = await runCommand(t, ["consume", ...flags], { directory });
    assert.deepEqual([code, out], [2, ""], `${flags.join(" ")}: ${err}`);
    assert.match(err, message);
  }
  const variable = await runCommand(t, ["consume"], { directory, environment: { SYMPHONY_WORKER_PROCESSES: "none" } });
  assert.equal(variable.code, 64);
});

test("a handler module that cannot be loaded exits 64 and names the file", async (t) => {
  const directory = project(t, {
    "symphony.config.ts": `import { missing } from "./handlers.ts"; export default {};`,
    "handlers.ts": "export const x = 1;",
  });
  const { code, err } = await runCommand(t, ["consume"], { directory });
  assert.equal(code, 64);
  assert.match(err, /symphony\.config\.ts cannot be loaded: .*missing/);
  assert.doesNotMatch(err, /\n\s+at /);
  const asJson = await runCommand(t, ["consume", "--json"], { directory });
  assert.equal((JSON.parse(asJson.err) as { error: { code: string } }).error.code, "CONFIG_INVALID");
  assert.match((await runCommand(t, ["consume", "-vv"], { directory })).err, /\n\s+at /);
});
