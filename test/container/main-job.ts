import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Processes } from "../support/processes.ts";
import type { Report } from "../support/report.ts";
import { type Engine, run } from "./engine.ts";
import { RESTRICTED, type Surroundings } from "./image-checks.ts";
import { processesBelow } from "./in-container.ts";

const READY_WITHIN_MS = 60_000;
const JOB_WITHIN_MS = 240_000;
const STOP_WITHIN_MS = 2_000;
const SUBSCRIBERS = 9_000;
/** Kills of worker processes in the middle of the work. */
const KILLS = 2;

type Names = Surroundings & { readonly fleet: string; readonly job: string; readonly database: string };

/**
 * The example's real webhooks, worked through by a fleet in a restricted container of 256 MB while its worker processes
 * are killed; the feeder and the subscribers are in a container beside it, as in a pod.
 */
export async function runMainJob(engine: Engine, names: Names, report: Report): Promise<void> {
  const ready = await report.step("a fleet of 256 MB with a read-only root gets ready as user 10001", () => startFleet(engine, names));
  if (!ready) return;
  await report.step("every message is accounted for, though worker processes are killed", () => workThrough(engine, names));
  await report.step("orphans are reaped by process 1", () => checkOrphans(engine, names));
  await report.step(`SIGTERM ends an idle fleet within ${STOP_WITHIN_MS / 1_000} s, with 0`, () => checkStop(engine, names));
}

async function startFleet(engine: Engine, o: Names): Promise<string> {
  const startedAt = performance.now();
  const args = ["run", "-d", "--name", o.fleet, "--network", o.network, ...RESTRICTED, "--user", "10001:10001", "--memory", "256m"];
  const environment = {
    DATABASE_URL: o.databaseUrl,
    WEBHOOKS_SUBSCRIBER_URL: `http://127.0.0.1:${SUBSCRIBERS}`,
    SYMPHONY_WORKER_PROCESSES: "1",
    SYMPHONY_WORKER_THREADS: "1",
  };
  for (const [name, value] of Object.entries(environment)) args.push("-e", `${name}=${value}`);
  await engine.must([...args, o.app, "consume"]);
  const started = performance.now();
  while ((await engine.try(["exec", o.fleet, "symphony", "health", "--check", "ready"])).code !== 0) {
    if (performance.now() - started > READY_WITHIN_MS) throw new Error(`not ready: ${(await engine.try(["logs", o.fleet])).out}`);
    await pause(100);
  }
  const readyMs = performance.now() - startedAt;
  const uid = /^Uid:\s+(\d+)/m.exec((await run("cat", [`/proc/${await pidOf(engine, o.fleet)}/status`])).out)?.[1];
  assert.equal(uid, "10001");
  return `ready ${(readyMs / 1_000).toFixed(1)} s after the engine was told to run it, the asking included`;
}

const pidOf = async (engine: Engine, container: string): Promise<number> =>
  Number(await engine.must(["inspect", "-f", "{{.State.Pid}}", container]));

async function workThrough(engine: Engine, o: Names): Promise<string> {
  const processes = new Processes();
  const words = ["run", "--name", o.job, "--network", `container:${o.fleet}`, ...RESTRICTED, "-e", `DATABASE_URL=${o.databaseUrl}`];
  const job = ["--entrypoint", "node", o.app, "src/main.ts", "--once", "--without-worker", "--subscriber-port", String(SUBSCRIBERS)];
  const env = engine.environment;
  const running = processes.start(engine.name, [...words, ...job], { env });
  try {
    const root = await pidOf(engine, o.fleet);
    for (let kill = 1; kill <= KILLS; kill++) {
      await running.waitForLine(new RegExp(`github\\.delivery ([${kill * 2}-9]\\d\\d)/`), 60_000);
      killWorker(root);
    }
    const { code } = await running.waitForExit(JOB_WITHIN_MS);
    const text = running.lines.map((line) => line.text).join("\n");
    assert.equal(code, 0, text.slice(-4_000));
    assert.match(text, /Every message is accounted for/);
    assert.equal(await pidOf(engine, o.fleet), root, "the container was restarted");
    return `${/\d+ messages handled in [\d.]+ s/.exec(text)?.[0]}, ${KILLS} × kill -9 of the worker process`;
  } finally {
    await processes.end();
  }
}

function killWorker(root: number): void {
  const worker = processesBelow(root).find(({ words }) => words.some((word) => word.endsWith("/fleet/child-main.js")));
  assert.ok(worker !== undefined, "no worker process to kill");
  process.kill(worker.pid, "SIGKILL");
}

/** A process whose parent is gone becomes a child of process 1, who has to wait for it when it ends. */
async function checkOrphans(engine: Engine, o: Names): Promise<string> {
  const orphan = `require("node:child_process").spawn("node", ["-e", ""], { detached: true, stdio: "ignore" }).unref(); process.exit(0)`;
  for (let i = 0; i < 5; i++) await engine.must(["exec", o.fleet, "node", "-e", orphan]);
  const root = await pidOf(engine, o.fleet);
  const until = performance.now() + 10_000;
  const zombies = () => processesBelow(root).filter(({ state }) => state === "Z");
  while (zombies().length > 0 && performance.now() < until) await pause(100);
  assert.deepEqual(zombies(), []);
  return `${processesBelow(root).length} processes, no zombies`;
}

async function checkStop(engine: Engine, o: Names): Promise<string> {
  const startedAt = performance.now();
  await engine.must(["kill", "--signal", "TERM", o.fleet]);
  const code = await engine.must(["wait", o.fleet], 30_000);
  const tookMs = performance.now() - startedAt;
  assert.equal(code, "0");
  assert.ok(tookMs <= STOP_WITHIN_MS, `${tookMs.toFixed(0)} ms`);
  assert.match((await engine.try(["logs", o.fleet])).out, /"reason":"signal".*fleet stopped/);
  return `${(tookMs / 1_000).toFixed(2)} s`;
}
