import { closeSync, copyFileSync, existsSync, fstatSync, openSync, readSync, statSync, truncateSync, writeSync } from "node:fs";
import { inspect } from "node:util";

const MAX_LOG_BYTES = 4 * 1024 * 1024;

/**
 * Opens a log for appending. Processes write to it directly, so it outlives whoever opened it; append mode is what
 * makes emptying it under a writer safe.
 */
export function openLog(path: string): number {
  rotateLog(path);
  return openSync(path, "a", 0o600);
}

/** Moves the text of a log that has grown over 4 MiB to `<path>.1`, replacing what was there: two files are the bound. */
export function rotateLog(path: string): void {
  if (!existsSync(path) || statSync(path).size < MAX_LOG_BYTES) return;
  copyFileSync(path, `${path}.1`);
  truncateSync(path);
}

/** The last lines of a log, for an error message. */
export function tailOf(path: string, maxBytes = 2000): string {
  if (!existsSync(path)) return "";
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const length = Math.min(size, maxBytes);
    const buffer = Buffer.alloc(length);
    readSync(file, buffer, 0, length, size - length);
    return buffer.toString("utf8").trim();
  } finally {
    closeSync(file);
  }
}

/** Writes to the log of this process, which is its standard error. Synchronous: what is said last is said before an exit. */
export function complain(what: unknown): void {
  writeSync(2, `${typeof what === "string" ? what : inspect(what)}\n`);
}
