import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "@symphony/core";
import { project } from "./testing/project.ts";
import { watchTree } from "./watch-tree.ts";

/** Resolves with the next report. */
function reports(t: TestContext, root: string): () => Promise<readonly string[]> {
  const seen: (readonly string[])[] = [];
  let waiting: ((paths: readonly string[]) => void) | undefined;
  const stop = watchTree(root, systemClock, (paths) => {
    if (waiting === undefined) seen.push(paths);
    else waiting(paths);
    waiting = undefined;
  });
  t.after(stop);
  return () => {
    const ready = seen.shift();
    return ready !== undefined ? Promise.resolve(ready) : new Promise((resolve) => (waiting = resolve));
  };
}

test("reports several changes at once, and none in what tools write", async (t) => {
  const root = project(t, {
    "symphony.config.ts": "1",
    "src/handlers.ts": "1",
    "node_modules/x/index.js": "1",
    "dist/a.js": "1",
    ".git/x.js": "1",
  });
  const next = reports(t, root);
  for (const name of ["node_modules/x/index.js", "dist/a.js", ".git/x.js", "notes.md", "src/handlers.ts", "symphony.config.ts"])
    writeFileSync(join(root, name), "2");
  assert.deepEqual(await next(), ["src/handlers.ts", "symphony.config.ts"]);
});

test("follows directories that come later", async (t) => {
  const root = project(t, { "symphony.config.ts": "1" });
  const next = reports(t, root);
  mkdirSync(join(root, "later"));
  writeFileSync(join(root, "later/a.ts"), "1");
  assert.deepEqual(await next(), ["later/a.ts"]);
  writeFileSync(join(root, "later/a.ts"), "2");
  assert.deepEqual(await next(), ["later/a.ts"]);
});
