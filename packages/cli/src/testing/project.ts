import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

/** Below the package, so that a configuration in it finds `@symphony/core`, and where neither git nor biome looks. */
const BASE = fileURLToPath(new URL("../../.symphony/test-projects/", import.meta.url));

/** A directory with these files, removed after the test. */
export function project(t: TestContext, files: Readonly<Record<string, string>>): string {
  mkdirSync(BASE, { recursive: true });
  const directory = mkdtempSync(join(BASE, "p-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
