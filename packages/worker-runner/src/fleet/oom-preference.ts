import { readFileSync, writeFileSync } from "node:fs";

const FILE = "/proc/self/oom_score_adj";
/** Of 1000: as if the process took so many thousandths of the memory more than it does. */
const MORE = 300;
const MOST = 1_000;

/**
 * Makes this process, and what it starts, a likelier victim than its supervisor when the kernel has to end one for want
 * of memory: a worker process is replaced in a second, a supervisor takes the whole fleet with it. Where there is no
 * such file, or it may not be written, nothing changes.
 */
export function offerToOomKiller(file = FILE): void {
  try {
    writeFileSync(file, String(Math.min(MOST, Number(readFileSync(file, "utf8")) + MORE)));
  } catch {
    // Not Linux, or not allowed.
  }
}
