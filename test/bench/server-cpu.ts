import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Database } from "../support/database.ts";

/**
 * Milliseconds of CPU that the server's processes for this database have used so far; undefined where that cannot be
 * seen (a server on another machine, no /proc). Under load from neighbours it says more than the clock does.
 */
export async function serverCpuMs(database: Database): Promise<number | undefined> {
  const backends = await database.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
  try {
    return backends.reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
  } catch {
    return undefined;
  }
}

export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the name in parentheses and may hold anything; utime and stime are 12 and 13 after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond()) * 1_000;
}

let ticks: number | undefined;
function ticksPerSecond(): number {
  ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return ticks;
}
