import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EmbeddedPostgresError } from "./errors.ts";
import { deadlineIn, until } from "./timing.ts";

export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** Whether it takes connections. */
  readonly isReady: boolean;
}

/**
 * The PostgreSQL that an earlier host left running on `data`, once it takes connections; undefined if none runs there.
 *
 * A `postmaster.pid` without its process is removed: PostgreSQL trusts the pid in it, which after a restart of the
 * machine or container may be anybody's.
 */
export async function findSurvivor(data: string, withinMs: number): Promise<Postmaster | undefined> {
  let survivor: Postmaster | undefined;
  const answer = await until<Postmaster | "none">(() => {
    survivor = readPidFile(data);
    if (survivor === undefined) return "none";
    if (isPostmasterOf(survivor.pid, data)) return survivor.isReady ? survivor : undefined;
    rmSync(join(data, PID_FILE), { force: true });
    return "none";
  }, deadlineIn(withinMs));
  if (answer !== undefined) return answer === "none" ? undefined : answer;
  // It must not be left without a host. What it was doing goes on at the next start.
  if (survivor !== undefined) process.kill(survivor.pid, "SIGINT");
  throw new EmbeddedPostgresError(`the PostgreSQL that runs in ${data} does not get ready`);
}

/** The PostgreSQL on `data`, if it is the process `pid` and takes connections. */
export function findReady(data: string, pid: number | undefined): Postmaster | undefined {
  const found = readPidFile(data);
  return found?.pid === pid && found?.isReady === true ? found : undefined;
}

/** Whether the process runs; one that has ended and waits for its parent to notice (a zombie) does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: alive, and not ours to signal.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  // Where process 1 does not collect orphans, in many containers, a zombie stays for ever. It has no arguments.
  return !HAS_PROC || commandLineOf(pid) !== "";
}

const PID_FILE = "postmaster.pid";
const HAS_PROC = existsSync("/proc/self/cmdline");

// The file's lines: pid, data directory, start time, port, socket directory, address, shared memory, state.
function readPidFile(data: string): Postmaster | undefined {
  const lines = readIfThere(join(data, PID_FILE))?.split("\n");
  if (lines === undefined) return undefined;
  return { pid: Number(lines[0]), port: Number(lines[3]), isReady: lines[7]?.trim() === "ready" };
}

function isPostmasterOf(pid: number, data: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isAlive(pid)) return false;
  // PostgreSQL is given the data directory as an argument, and the postmaster, unlike its children, keeps its arguments.
  return commandLineOf(pid).includes(data);
}

function commandLineOf(pid: number): string {
  if (HAS_PROC) return readIfThere(`/proc/${pid}/cmdline`) ?? "";
  try {
    return execFileSync("ps", ["-ww", "-o", "command=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    // `ps` fails when the process has ended in the meantime.
    return "";
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ESRCH: the process ended between opening and reading its entry in /proc.
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
