import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Logger, systemClock } from "@symphony/core";
import { createLogger } from "./logger.ts";

function capture(): { lines: Record<string, unknown>[]; text: () => string; write: (line: string) => void } {
  const parts: string[] = [];
  const lines: Record<string, unknown>[] = [];
  return {
    lines,
    text: () => parts.join(""),
    write: (line) => {
      parts.push(line);
      if (line.startsWith("{")) lines.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "symphony-telemetry-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Runs `code` in a process of its own with `createLogger` and returns what it wrote, read as slowly as asked. */
async function run(code: string, readAfterMs = 0): Promise<{ stdout: string; exitCode: number | null }> {
  const module = fileURLToPath(new URL("./logger.ts", import.meta.url));
  const script = `import { createLogger } from ${JSON.stringify(module)};\n${code}`;
  const child = spawn(process.execPath, ["--conditions=source", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const chunks: Buffer[] = [];
  child.stdout.pause();
  systemClock.schedule(readAfterMs, () => child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk)).resume());
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { stdout: Buffer.concat(chunks).toString(), exitCode };
}

test("writes JSON with an RFC 3339 time, the level as a word, the service and the pid", () => {
  const out = capture();
  createLogger({ destination: out, pretty: false }).info({ queue: "images" }, "ready");
  const [line] = out.lines;
  assert.equal(line?.level, "info");
  assert.match(String(line?.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual([line?.service, line?.worker_pid, line?.queue, line?.msg], ["symphony", process.pid, "images", "ready"]);
});

test("is core's Logger, children included", () => {
  const out = capture();
  const logger: Logger = createLogger({ destination: out, pretty: false, fields: { service: "billing" } });
  logger.child({ message_id: "m1" }).warn({ attempt: 2 });
  assert.deepEqual([out.lines[0]?.service, out.lines[0]?.message_id, out.lines[0]?.attempt], ["billing", "m1", 2]);
});

test("writes an error with its code, stack and cause", () => {
  const out = capture();
  const cause = new Error("socket closed");
  createLogger({ destination: out, pretty: false }).error({ error: Object.assign(new Error("lost", { cause }), { code: "E1" }) }, "failed");
  const error = out.lines[0]?.error as { message: string; code: string; stack: string; cause: { message: string } };
  assert.deepEqual([error.message, error.code, error.cause.message], ["lost", "E1", "socket closed"]);
  assert.match(error.stack, /logger\.test/);
});

test("writes an error that is plain data as it is", () => {
  const out = capture();
  createLogger({ destination: out, pretty: false }).warn({ error: { name: "TypeError", message: "x" } }, "failed");
  assert.deepEqual(out.lines[0]?.error, { name: "TypeError", message: "x" });
});

test("hides the values of fields that are called like secrets, one level deep as well", () => {
  const out = capture();
  const logger = createLogger({ destination: out, pretty: false });
  logger.info({ password: "c4n4ry", headers: { authorization: "Bearer c4n4ry", accept: "*/*" } }, "request");
  logger.child({ token: "c4n4ry" }).info({}, "child");
  assert.ok(!out.text().includes("c4n4ry"), out.text());
  assert.deepEqual(out.lines[0]?.headers, { authorization: "[hidden]", accept: "*/*" });
});

test("keeps quiet below its level", () => {
  const out = capture();
  const logger = createLogger({ destination: out, pretty: false, level: "warn" });
  logger.info({}, "no");
  logger.warn({}, "yes");
  assert.deepEqual(
    out.lines.map((line) => line.msg),
    ["yes"],
  );
});

test("survives circular fields and getters that throw", () => {
  const out = capture();
  const circular: Record<string, unknown> = { name: "a" };
  circular.self = circular;
  const hostile = Object.defineProperty({}, "x", { enumerable: true, get: () => assert.fail("getter") });
  const logger = createLogger({ destination: out, pretty: false });
  logger.info({ circular }, "first");
  logger.info({ hostile }, "second");
  assert.deepEqual(
    out.lines.map((line) => line.msg),
    ["first", "second"],
  );
});

test("writes one readable line without escape codes when pretty and not on a terminal", () => {
  const out = capture();
  createLogger({ destination: out, pretty: true }).info({ queue: "images" }, "ready");
  assert.match(out.text(), /INFO.*ready.*"queue":"images"/);
  assert.equal(out.text().includes("\u001b"), false);
});

test("appends to a file, and a flush puts every gathered line there", (t) => {
  const path = join(directory(t), "app.log");
  const logger = createLogger({ destination: path });
  logger.info({}, "one");
  logger.info({}, "two");
  logger.flushSync();
  assert.deepEqual(
    readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { msg: string }).msg),
    ["one", "two"],
  );
});

test("loses no line when the process exits at once", async () => {
  const { stdout, exitCode } = await run(
    `const log = createLogger(); for (let i = 0; i < 500; i++) log.info({ i }, "x"); process.exit(3);`,
  );
  assert.equal(exitCode, 3);
  assert.equal(stdout.trim().split("\n").length, 500);
});

test("loses no line before an uncaught exception", async () => {
  const { stdout, exitCode } = await run(`const log = createLogger(); log.info({}, "last words"); throw new Error("boom");`);
  assert.equal(exitCode, 1);
  assert.match(stdout, /last words/);
});

test("a slow reader slows the writer down: nothing lost, order kept", async () => {
  const { stdout } = await run(
    `const log = createLogger(); for (let i = 0; i < 5000; i++) log.info({ i, pad: "x".repeat(200) }, "x");`,
    300,
  );
  const seen = stdout
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { i: number }).i);
  assert.deepEqual(
    seen,
    Array.from({ length: 5000 }, (_, i) => i),
  );
});

test("goes on when the reader has gone", async () => {
  const module = fileURLToPath(new URL("./logger.ts", import.meta.url));
  const script = `import { createLogger } from ${JSON.stringify(module)};
    const log = createLogger({ sync: true });
    process.stdin.once("data", () => { for (let i = 0; i < 100; i++) log.info({}, "nobody reads this"); process.exit(7); });
    log.info({}, "up");`;
  const child = spawn(process.execPath, ["--conditions=source", "--input-type=module", "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdout.once("data", () => {
    child.stdout.destroy();
    child.stdout.once("close", () => child.stdin.write("go\n"));
  });
  assert.equal(await new Promise((resolve) => child.once("close", resolve)), 7);
});
