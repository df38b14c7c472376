import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { deadlineIn, until } from "../timing.ts";

/** What runs for a directory: its host, its postmaster, and everything that works inside its data. */
export interface Processes {
  readonly hosts: readonly number[];
  readonly postmasters: readonly number[];
  readonly all: readonly number[];
}

/** Reads `/proc`: for tests on Linux. */
export function processesOf(directory: string): Processes {
  const hosts: number[] = [];
  const postmasters: number[] = [];
  const all: number[] = [];
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, "utf8");
      const pid = Number(entry);
      const isHost = args.includes("host-main") && args.includes(directory);
      if (isHost) hosts.push(pid);
      if (args.includes(`-D\0${directory}`)) postmasters.push(pid);
      if (isHost || readlinkSync(`/proc/${entry}/cwd`).startsWith(directory)) all.push(pid);
    } catch {
      // Ended while we looked, or somebody else's.
    }
  }
  return { hosts, postmasters, all };
}

/** Waits until nothing runs for the directory; says what is left if that takes longer. */
export async function waitUntilGone(directory: string, withinMs: number): Promise<void> {
  const gone = await until(() => (processesOf(directory).all.length === 0 ? true : undefined), deadlineIn(withinMs));
  if (gone !== true) throw new Error(`still running after ${withinMs} ms: ${JSON.stringify(processesOf(directory))}`);
}

/** Waits for the one host of the directory that is not `old`. */
export async function waitForHost(directory: string, old?: number): Promise<number> {
  const host = await until(() => processesOf(directory).hosts.find((pid) => pid !== old), deadlineIn(10_000));
  if (host === undefined) throw new Error("no new host within 10 s");
  return host;
}
