import { type FSWatcher, readdirSync, watch } from "node:fs";
import { extname, join, relative } from "node:path";
import type { Clock, Timer } from "@symphony/core";

const CODE = new Set([".ts", ".mts", ".cts", ".js", ".mjs", ".cjs", ".json"]);
/** What tools write; `node_modules` alone would need more watches than the system has. */
const IGNORED = new Set(["node_modules", "dist", "build", "coverage"]);
/** Milliseconds of silence after a change: an editor writes a file in several steps, a branch switch writes hundreds. */
const QUIET_MS = 150;

/**
 * Calls `changed` with paths relative to `root` after code below it has changed and kept still for a moment. Directories
 * that start with a dot and those that tools write are left out. Returns the way to stop.
 */
export function watchTree(root: string, clock: Clock, changed: (paths: readonly string[]) => void): () => void {
  const watchers = new Map<string, FSWatcher>();
  const pending = new Set<string>();
  let timer: Timer | undefined;
  const note = (path: string): void => {
    pending.add(relative(root, path));
    timer?.cancel();
    timer = clock.schedule(QUIET_MS, () => {
      const paths = [...pending].sort();
      pending.clear();
      changed(paths);
    });
  };
  const drop = (directory: string): void => {
    watchers.get(directory)?.close();
    watchers.delete(directory);
  };
  const add = (directory: string, isNew: boolean): void => {
    if (watchers.has(directory)) return;
    let names: { name: string; isDirectory(): boolean }[];
    try {
      const watcher = watch(directory, (_event, name) => {
        if (name === null || name.startsWith(".")) return;
        const path = join(directory, name);
        if (CODE.has(extname(name))) note(path);
        else if (!IGNORED.has(name)) add(path, true);
      });
      watcher.on("error", () => drop(directory));
      watchers.set(directory, watcher);
      names = readdirSync(directory, { withFileTypes: true });
    } catch {
      // Not a directory, or gone again: nothing to watch there.
      drop(directory);
      return;
    }
    for (const entry of names) {
      if (entry.name.startsWith(".") || IGNORED.has(entry.name)) continue;
      if (entry.isDirectory()) add(join(directory, entry.name), isNew);
      // Files that came with a new directory were written before we looked.
      else if (isNew && CODE.has(extname(entry.name))) note(join(directory, entry.name));
    }
  };
  add(root, false);
  return () => {
    timer?.cancel();
    for (const directory of [...watchers.keys()]) drop(directory);
  };
}
