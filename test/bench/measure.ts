import { type ChildProcess, fork } from "node:child_process";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createDatabase, type Server } from "../support/database.ts";
import type { Settings } from "./contestant.ts";
import { loadContestant } from "./contestants.ts";
import type { DrainOrder, DrainReport, DrainVerdict } from "./drain-process.ts";
import { serverCpuMs } from "./server-cpu.ts";

export interface Measurement {
  readonly perSecond: number;
  /** From the start until the last message was handled. */
  readonly handledMs: number;
  /** From the start until nothing was unsettled in the database. What `perSecond` is computed from. */
  readonly settledMs: number;
  /** Of the consuming process, user and system. */
  readonly cpuMs: number;
  /** Of the server's processes for this database; undefined when the server is elsewhere. */
  readonly serverCpuMs: number | undefined;
  readonly residentMb: number;
  readonly lost: number;
  readonly repeated: number;
}

export interface MeasureInput {
  readonly server: Server;
  readonly name: string;
  readonly settings: Settings;
  readonly count: number;
  readonly nodeFlags?: readonly string[];
  /** Beside the environment of the bench. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Milliseconds. A contestant that hangs must not hang the bench. */
const PATIENCE_MS = 180_000;
const LOOK_EVERY_MS = 4;

/** One drain in a database and a process of its own. */
export async function measure({ server, name, settings, count, nodeFlags = [], env = {} }: MeasureInput): Promise<Measurement> {
  const contestant = await loadContestant(name);
  const database = await createDatabase(server);
  let child: ChildProcess | undefined;
  try {
    await contestant.fill(database.connectionString, count);
    // The same state for everyone: known statistics, no checkpoint about to begin.
    await database.query("VACUUM ANALYZE");
    await database.query("CHECKPOINT");
    child = fork(fileURLToPath(new URL("./drain-process.ts", import.meta.url)), {
      execArgv: ["--conditions=source", ...nodeFlags],
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    child.send({ contestant: name, connectionString: database.connectionString, settings, count } satisfies DrainOrder);
    const report = await next<DrainReport>(child, name);
    while ((await database.query<{ left: boolean }>(contestant.unsettled))[0]?.left !== false) await sleep(LOOK_EVERY_MS);
    const settledMs = performance.timeOrigin + performance.now() - report.startedAt;
    const serverMs = await serverCpuMs(database);
    // Long enough for a repetition to show: every poll interval in the bench is shorter.
    await sleep(600);
    child.send("settled");
    const verdict = await next<DrainVerdict>(child, name);
    const exited = new Promise((resolve) => child?.once("exit", resolve));
    await Promise.race([exited, sleep(10_000)]);
    const handledMs = report.handledAt - report.startedAt;
    return { perSecond: (count / settledMs) * 1_000, handledMs, settledMs, cpuMs: report.cpuMs, serverCpuMs: serverMs, ...verdict };
  } finally {
    if (child?.exitCode === null) child.kill("SIGKILL");
    await database.close({ keep: false });
  }
}

function next<T>(child: ChildProcess, name: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(() => reject(new Error(`${name} did not finish within ${PATIENCE_MS} ms`))), PATIENCE_MS);
    const onMessage = (message: unknown): void => settle(() => resolve(message as T));
    const onExit = (code: number | null): void => settle(() => reject(new Error(`${name} ended with ${code} before it was done`)));
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
      outcome();
    };
    child.on("message", onMessage);
    child.on("exit", onExit);
  });
}
