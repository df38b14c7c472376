import { readdirSync, readFileSync } from "node:fs";

/** A process of a container, seen from outside. */
export interface ContainerProcess {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly words: readonly string[];
}

/** `root`, and everything that descends from it. Needs the engine's processes to be on this machine. */
export function processesBelow(root: number): readonly ContainerProcess[] {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? readProcess(Number(name)) : []));
  const found = all.filter(({ pid }) => pid === root);
  for (let i = 0; i < found.length; i++) found.push(...all.filter(({ parent }) => parent === found[i]?.pid));
  return found;
}

function readProcess(pid: number): readonly ContainerProcess[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name is in brackets and may hold anything; state and parent follow the last one.
    const [state = "", parent = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return [{ pid, parent: Number(parent), state, words: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0") }];
  } catch {
    // It has ended meanwhile.
    return [];
  }
}
