import { DatabaseSync } from "node:sqlite";

/**
 * Takes the lock on `path`, or returns undefined if another process has it. It is held until this process ends.
 *
 * A file lock of the operating system, through SQLite since Node has no call of its own: it goes with its process,
 * however that dies, so it can neither go stale nor be taken by two; and it holds between containers that share a disk.
 */
export function tryLock(path: string): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // No journal file: nothing is ever written.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}

const SQLITE_BUSY = 5;
