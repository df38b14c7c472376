import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { it, type TestContext } from "node:test";

const root = join(import.meta.dirname, "../..");

/** Runs the import rules over a small tree of the same shape as ours; returns the lines that name a violated rule. */
function violationsIn(t: TestContext, files: Readonly<Record<string, string>>): string[] {
  const tree = mkdtempSync(join(tmpdir(), "symphony-imports-"));
  t.after(() => rmSync(tree, { recursive: true }));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  for (const name of ["core", "transport-pgboss", "admin-api"]) {
    const exports = { ".": { source: "./src/index.ts" }, "./testing": { source: "./src/testing/index.ts" } };
    write(`packages/${name}/package.json`, JSON.stringify({ name: `@symphony/${name}`, type: "module", exports, dependencies: PACKAGES }));
    write(`packages/${name}/src/index.ts`, "export const name = 1;\n");
    write(`packages/${name}/src/testing/index.ts`, "export const suite = 1;\n");
    mkdirSync(join(tree, "node_modules/@symphony"), { recursive: true });
    symlinkSync(join(tree, "packages", name), join(tree, "node_modules/@symphony", name));
  }
  for (const name of Object.keys(PACKAGES)) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "dist/index.js" }));
    write(`node_modules/${name}/dist/index.js`, "module.exports = {};\n");
  }
  write("package.json", "{}");
  for (const [path, text] of Object.entries(files)) write(path, text);
  const program = join(root, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");
  const flags = ["--config", join(root, ".dependency-cruiser.mjs"), "--no-progress", "packages"];
  const run = spawnSync(process.execPath, ["--import", join(root, ".ci/typescript-6.mjs"), program, ...flags], {
    cwd: tree,
    encoding: "utf8",
  });
  const lines = run.stdout.split("\n").flatMap((line) => /^ {2}error ([\w-]+): (\S+)/.exec(line)?.slice(1, 3).join(" ") ?? []);
  assert.equal(run.status !== 0, lines.length > 0, run.stdout + run.stderr);
  return [...new Set(lines)].sort();
}

const PACKAGES = { pg: "1", koa: "1", "@standard-schema/spec": "1" };

it("lets packages import what the table allows", (t) => {
  const violations = violationsIn(t, {
    "packages/core/src/index.ts":
      'import { readFileSync } from "node:fs";\nimport type { X } from "@standard-schema/spec";\nexport type Y = X;\nreadFileSync("");\n',
    "packages/transport-pgboss/src/sender.ts":
      'import pg from "pg";\nimport { name } from "@symphony/core";\nexport const sender = [pg, name];\n',
    "packages/admin-api/src/app.test.ts": 'import { suite } from "@symphony/core/testing";\nimport pg from "pg";\nsuite(pg);\n',
  });
  assert.deepEqual(violations, []);
});

it("reports a driver where only core may be known", (t) => {
  assert.deepEqual(violationsIn(t, { "packages/admin-api/src/app.ts": 'import pg from "pg";\nexport const app = pg;\n' }), [
    "admin-api-knows-no-driver packages/admin-api/src/app.ts",
  ]);
});

it("reports anything but the allowed in core, types and dynamic imports too", (t) => {
  const violations = violationsIn(t, {
    "packages/core/src/a.ts": 'import type { Pool } from "pg";\nexport type A = Pool;\n',
    "packages/core/src/b.ts": 'export const b = await import("@symphony/transport-pgboss");\n',
    "packages/core/src/c.ts": 'import { schema } from "@standard-schema/spec";\nexport const c = schema;\n',
  });
  assert.deepEqual(violations, [
    "core-stands-alone packages/core/src/a.ts",
    "core-stands-alone packages/core/src/b.ts",
    "core-takes-only-types-of-standard-schema packages/core/src/c.ts",
  ]);
});

it("reports cycles, those of types included", (t) => {
  const violations = violationsIn(t, {
    "packages/core/src/a.ts": 'import type { B } from "./b.ts";\nexport type A = B | 1;\n',
    "packages/core/src/b.ts": 'import type { A } from "./a.ts";\nexport type B = A | 2;\n',
  });
  assert.equal(violations.length, 1);
  assert.match(violations[0] ?? "", /^no-cycles packages\/core\/src\/[ab]\.ts/);
});

it("reports ways around the entry points of a package", (t) => {
  const violations = violationsIn(t, {
    "packages/core/src/clock.ts": "export const clock = 1;\n",
    "packages/admin-api/src/a.ts": 'import { clock } from "../../core/src/clock.ts";\nexport const a = clock;\n',
    "packages/admin-api/src/b.ts": 'import { clock } from "@symphony/core/src/clock.ts";\nexport const b = clock;\n',
  });
  assert.ok(violations.includes("no-way-around-the-entry-points packages/admin-api/src/a.ts"), String(violations));
  assert.ok(violations.includes("resolvable packages/admin-api/src/b.ts"), String(violations));
});

it("reports test code in what ships", (t) => {
  const violations = violationsIn(t, {
    "packages/admin-api/src/a.ts": 'import { suite } from "@symphony/core/testing";\nexport const a = suite;\n',
    "packages/admin-api/src/b.ts": 'import "./b.test.ts";\nexport const b = 1;\n',
    "packages/admin-api/src/b.test.ts": "export {};\n",
  });
  assert.deepEqual(violations, [
    "no-test-code-in-what-ships packages/admin-api/src/a.ts",
    "no-test-code-in-what-ships packages/admin-api/src/b.ts",
  ]);
});
