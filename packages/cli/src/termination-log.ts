import { closeSync, openSync, writeSync } from "node:fs";

/** Where Kubernetes looks for a container's last words; it makes the file, so elsewhere there is none. */
const TERMINATION_LOG = "/dev/termination-log";
/** Bytes that Kubernetes keeps. */
const MOST = 4_096;

/** The container's own process, or the one that its init started: a command somebody runs beside it has a parent elsewhere. */
const isMain = (): boolean => process.pid === 1 || process.ppid === 1;

/** Leaves the last words of a container, for `kubectl describe`. Does nothing where nobody would read them. */
export function leaveLastWords(text: string, path = TERMINATION_LOG, mayWrite = isMain()): void {
  if (!mayWrite) return;
  try {
    const file = openSync(path, "r+");
    try {
      writeSync(file, Buffer.from(text).subarray(0, MOST));
    } finally {
      closeSync(file);
    }
  } catch {
    // No such file, or one that is not ours to write: the chart falls back to the last lines of the log.
  }
}
