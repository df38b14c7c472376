import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A group of processes that get so much memory together and no more: what a container is to the kernel. */
export interface MemoryCgroup {
  /** Whoever writes its process id there belongs to the group. */
  readonly procs: string;
  /** What a pod's resizing does to it. */
  resize(bytes: number): void;
  /** How often the kernel has ended a process for want of memory. */
  oomKills(): number;
  /** Its processes have to be gone. */
  remove(): void;
}

const ROOT = "/sys/fs/cgroup";
const V1 = join(ROOT, "memory");

const read = (file: string): string => readFileSync(file, "utf8");

/** Undefined when this machine lets us make one; else why not. */
export function whyNoMemoryCgroup(): string | undefined {
  try {
    makeMemoryCgroup(`symphony-probe-${process.pid}`, 64 * 1_048_576).remove();
    return undefined;
  } catch (error) {
    return `no memory cgroup can be made here: ${(error as Error).message}`;
  }
}

/** @throws {Error} without the right to make one, or a kernel that has none. */
export function makeMemoryCgroup(name: string, bytes: number): MemoryCgroup {
  const unified = existsSync(join(ROOT, "cgroup.controllers"));
  if (unified && !read(join(ROOT, "cgroup.subtree_control")).includes("memory"))
    writeFileSync(join(ROOT, "cgroup.subtree_control"), "+memory");
  const directory = join(unified ? ROOT : V1, name);
  mkdirSync(directory);
  const limit = join(directory, unified ? "memory.max" : "memory.limit_in_bytes");
  writeFileSync(limit, String(bytes));
  // Swap would only make it slow.
  const swap = join(directory, unified ? "memory.swap.max" : "memory.memsw.limit_in_bytes");
  if (existsSync(swap)) writeFileSync(swap, String(unified ? 0 : bytes));
  const events = join(directory, unified ? "memory.events" : "memory.oom_control");
  return {
    procs: join(directory, "cgroup.procs"),
    resize: (wanted) => {
      // With v1 the sum of both is never less than memory alone.
      if (!unified && existsSync(swap)) writeFileSync(swap, String(wanted));
      writeFileSync(limit, String(wanted));
    },
    oomKills: () => Number(/^oom_kill (\d+)/m.exec(read(events))?.[1] ?? 0),
    remove: () => rmdirSync(directory),
  };
}
