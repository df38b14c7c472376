import { NODES_HELPERS } from "./container-limits.ts";

/**
 * Flags for a worker process whose V8 is to have so many helper threads, which compile and collect beside the program. Who
 * has chosen a number in `given` keeps it.
 *
 * With one helper, objects that live short are collected without it: to share so little work costs more than it saves.
 * Measured on two CPUs with PostgreSQL beside them, one helper against Node's four, two series each: messages that do
 * nothing, by one process 1.06 and 1.11 x as many in a second (15 and 14 pairs), by two 1.02 and 1.11 x (12 and 16), in
 * threads 1.07 x (10). The price is paid by large heaps: with 300 MB of live objects a program took as long and as much
 * memory, but its longest pauses were 60 to 75 ms instead of 40. Without marking beside the program it would take half
 * as much memory again: that stays.
 */
export function v8Flags(helpers: number, given: readonly string[] = []): readonly string[] {
  if (helpers >= NODES_HELPERS || given.some((flag) => /^--v8[-_]pool[-_]size\b/.test(flag))) return [];
  return [`--v8-pool-size=${helpers}`, ...(helpers === 1 ? ["--no-parallel-scavenge"] : [])];
}

/** Flags of V8 in `execArgv` that no thread may be started with. */
const OF_THE_PROCESS = /^--(v8[-_]pool[-_]size|no-parallel-scavenge|max[-_]old[-_]space[-_]size)\b/;

/**
 * Takes V8's flags that are meant for this process out of `process.execArgv`: libraries pass that on to threads and
 * processes of theirs, and Node starts no thread with them. To be called in each thread.
 */
export function hideV8Flags(): void {
  process.execArgv = process.execArgv.filter((flag) => !OF_THE_PROCESS.test(flag));
}

/** Flags of this process that its children are started with or inherit. */
export const givenFlags = (): readonly string[] => [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
