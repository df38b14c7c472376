import type { ContainerLimits } from "./container-limits.ts";

/** Threads that Node gives V8 in every process, however few CPUs there are (`--v8-pool-size`). */
const NODES_CHOICE = 4;

/**
 * Flags for worker processes, so that V8's helpers, which compile and collect beside the program, are not more than
 * there are CPUs for them: one is left for the code of each process. Who has chosen a number in `given` keeps it.
 *
 * With one helper, objects that live short are collected without it: to share such a moment's work costs more than it
 * saves. Measured on two CPUs with PostgreSQL beside (`--v8-pool-size=1 --no-parallel-scavenge` against four helpers,
 * 14 to 31 pairs of runs): messages that do nothing, by one process, 1.06 to 1.11 x as many in a second, by two 1.11 x,
 * in threads 1.07 x. A program with 300 MB of live objects takes as long, and as much memory, as before. Without
 * collecting beside the program at all it would take half as much again: that stays.
 */
export function v8Flags({ cpus }: Pick<ContainerLimits, "cpus">, processes: number, given: readonly string[] = []): readonly string[] {
  if (given.some((flag) => /^--v8[-_]pool[-_]size\b/.test(flag))) return [];
  const helpers = Math.max(1, Math.floor(cpus / processes) - 1);
  if (helpers >= NODES_CHOICE) return [];
  return [`--v8-pool-size=${helpers}`, ...(helpers === 1 ? ["--no-parallel-scavenge"] : [])];
}

/** Sizes of V8 in `execArgv`: no thread may be started with them. */
const SIZES = /^--(v8[-_]pool[-_]size|no-parallel-scavenge|max[-_]old[-_]space[-_]size)\b/;

/**
 * Takes the sizes that this process was started with out of `process.execArgv`: libraries pass that on to threads and
 * processes of theirs, Node starts no thread with them, and they are meant for this process. For each thread anew.
 */
export function hideSizes(): void {
  process.execArgv = process.execArgv.filter((flag) => !SIZES.test(flag));
}

/** Flags of this process that its children are started with or inherit. */
export const givenFlags = (): readonly string[] => [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
