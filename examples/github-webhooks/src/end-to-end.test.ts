import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "@symphony/core";
import type pg from "pg";
import { loadDeliveries } from "./deliveries.ts";
import { withDatabase } from "./testing/database.ts";
import { wait } from "./wait.ts";

/** The program as a person runs it, each time in a database of its own, which is looked at afterwards without its help. */

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const PAYLOADS = loadDeliveries().length;
const FORGED = 3;
const RUN_WITHIN_MS = 240_000;

interface Program {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves with the exit code when it has ended and its output is read. */
  readonly ended: Promise<number | null>;
  /** Resolves when the output matches. */
  until(pattern: RegExp): Promise<void>;
}

function start(argv: readonly string[], connectionString: string): Program {
  const child = spawn(process.execPath, ["--conditions=source", MAIN, ...argv], {
    env: { ...process.env, DATABASE_URL: connectionString, NODE_TEST_CONTEXT: "" },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: RUN_WITHIN_MS,
    killSignal: "SIGKILL",
  });
  let text = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      for (const listener of listeners) listener();
    });
  }
  const ended = new Promise<number | null>((resolve) => child.on("close", (code) => resolve(code)));
  return {
    child,
    output: () => text,
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(text)) resolve();
        };
        listeners.add(look);
        look();
        void ended.then((code) => reject(new Error(`ended with ${code} before ${pattern}:\n${text}`)));
      }),
  };
}

/** Asks the tables of the example and of the transport, not the program. */
async function assertNothingLostNothingTwice(pool: pg.Pool): Promise<void> {
  const one = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n);
  assert.equal(await one("select count(*) n from symphony_webhooks.activity"), PAYLOADS);
  assert.equal(await one("select count(distinct delivery_id) n from symphony_webhooks.activity"), PAYLOADS);
  assert.equal(
    await one("select count(*) n from symphony_webhooks.summary_done"),
    await one("select sum(summaries) n from symphony_webhooks.activity"),
  );
  // What is done stays for the window of its idempotency key; nothing that is still to be done may be there.
  assert.equal(await one("select count(*) n from symphony.job where name like 'webhook-%' and state < 'completed'"), 0);
  assert.equal(await one("select count(*) n from symphony.messenger_bundle"), 0);
  assert.equal(await one("select count(*) n from symphony.job where name = 'failed'"), FORGED);
}

/** Process ids by parent. */
function processTree(): Map<number, number[]> {
  const tree = new Map<number, number[]>();
  for (const line of execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n")) {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    tree.set(parent, [...(tree.get(parent) ?? []), pid]);
  }
  return tree;
}

/** Everything that a process has started, and what that has started. */
function descendants(pid: number | undefined, tree = processTree()): number[] {
  return (tree.get(pid ?? -1) ?? []).flatMap((child) => [child, ...descendants(child, tree)]);
}

async function untilGone(pids: readonly number[], withinMs: number): Promise<void> {
  const until = systemClock.monotonic() + withinMs;
  for (;;) {
    const alive = new Set([...processTree().values()].flat());
    const left = pids.filter((pid) => alive.has(pid));
    if (left.length === 0) return;
    assert.ok(systemClock.monotonic() < until, `processes ${left.join(", ")} are still there after ${withinMs} ms`);
    await wait(100, new AbortController().signal);
  }
}

test("works through every payload and ends with 0", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString, pool) => {
    const program = start(["--once", "--rate", "400"], connectionString);
    await program.until(/working: github\.delivery [1-9]/);
    const started = descendants(program.child.pid);
    assert.ok(started.length >= 3, `a supervisor and two worker processes, but there are only ${started.length}`);
    assert.equal(await program.ended, 0, program.output());
    assert.match(program.output(), /Every message is accounted for\./);
    await untilGone(started, 0);
    await assertNothingLostNothingTwice(pool);
  });
});

test("loses nothing and does nothing twice when the worker is killed in the middle, twice", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString, pool) => {
    const program = start(["--once", "--rate", "400", "--kill-worker", "2"], connectionString);
    assert.equal(await program.ended, 0, program.output());
    assert.equal(program.output().match(/^kill -9 of the worker/gm)?.length, 2, program.output());
    await assertNothingLostNothingTwice(pool);
  });
});

test("ends in order on SIGINT, and the next run finishes what was waiting", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString, pool) => {
    const first = start(["--rate", "2000"], connectionString);
    await first.until(/working: github\.delivery [1-9]/);
    first.child.kill("SIGINT");
    assert.equal(await first.ended, 0, first.output());
    assert.match(first.output(), /stopped: \d+ messages are waiting/);
    const { rows } = await pool.query<{ n: number }>(
      "select (select count(*) from symphony.job where state = 'active')::int + (select count(*) from symphony.messenger_bundle)::int n",
    );
    assert.equal(rows[0]?.n, 0, "a worker that ends in order hands back what it holds");

    const second = start(["--once", "--rate", "400"], connectionString);
    assert.equal(await second.ended, 0, second.output());
    assert.match(second.output(), /\d+ messages of an earlier run are waiting: they come first/);
    assert.match(second.output(), /Every message is accounted for\./);
  });
});

test("stays up after the summary, takes webhooks, serves summaries, and ends with 0 on SIGTERM", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString) => {
    const program = start(["--rate", "400"], connectionString);
    await program.until(/Ctrl-C ends it\./);
    const receiver = /POST (http:\S+)\/webhooks\/github/.exec(program.output())?.[1];
    assert.ok(receiver, program.output());
    const index = await (await fetch(`${receiver}/repositories`)).text();
    assert.match(index, /Codertocat\/Hello-World \(\d+ events\)/);
    const headers = { "x-github-event": "ping", "x-github-delivery": "by-hand", "x-hub-signature-256": "sha256=00" };
    assert.equal((await fetch(`${receiver}/webhooks/github`, { method: "POST", headers, body: "{}" })).status, 202);
    const started = descendants(program.child.pid);
    program.child.kill("SIGTERM");
    assert.equal(await program.ended, 0, program.output());
    await untilGone(started, 0);
  });
});

test("takes its processes along when it is killed itself", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString) => {
    const program = start(["--rate", "50"], connectionString);
    await program.until(/working: github\.delivery [1-9]/);
    const started = descendants(program.child.pid);
    program.child.kill("SIGKILL");
    await program.ended;
    await untilGone(started, 15_000);
  });
});

test("refuses to run beside another run on the same database, and says so", { timeout: RUN_WITHIN_MS }, async () => {
  await withDatabase(async (connectionString) => {
    const first = start(["--rate", "5"], connectionString);
    await first.until(/working/);
    const second = start(["--once"], connectionString);
    assert.equal(await second.ended, 1);
    assert.match(second.output(), /another run of this example is working on the same database/);
    first.child.kill("SIGINT");
    assert.equal(await first.ended, 0, first.output());
  });
});

test("brings its own PostgreSQL when there is no DATABASE_URL, and leaves no process behind", { timeout: RUN_WITHIN_MS }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "symphony-example-"));
  try {
    const child = spawn(process.execPath, ["--conditions=source", MAIN, "--once", "--rate", "400"], {
      cwd: directory,
      env: { ...process.env, DATABASE_URL: "", NODE_TEST_CONTEXT: "" },
      stdio: ["ignore", "pipe", "inherit"],
      timeout: RUN_WITHIN_MS,
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0, text);
    const left = execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" });
    assert.ok(!left.includes(directory), left);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("answers a wrong command line with 2 and the right one", async () => {
  const program = start(["--onec"], "postgres://127.0.0.1:1/nowhere");
  assert.equal(await program.ended, 2);
  assert.match(program.output(), /--once +end after the summary/);
});
