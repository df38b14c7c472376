import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { workerConfigSchema } from "@symphony/core";
import { withDatabase } from "./testing/database.ts";

/** The documents of the repository: that their programs compile, their links lead somewhere and their tables are complete. */

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PAGES = ["README.md", "examples/github-webhooks/README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith(".md"),
);
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

// Inside the repository, so that the packages are found; ignored by git. Not in node_modules: Node runs no TypeScript there.
const state = join(ROOT, ".symphony");
mkdirSync(state, { recursive: true });
const work = mkdtempSync(join(state, "symphony-docs-"));
after(() => rmSync(work, { recursive: true, force: true }));

const directoryOf = (page: string): string => join(work, page.replaceAll(/\W/g, "-"));

/** Code blocks that name a file: ```ts file=messages.ts. Those of one page form one program. */
function extract(page: string): number {
  const directory = directoryOf(page);
  const blocks = [...read(page).matchAll(/^```ts file=(\S+)\n(.*?)^```$/gms)];
  mkdirSync(directory, { recursive: true });
  for (const [, file = "", code = ""] of blocks) writeFileSync(join(directory, file), code);
  return blocks.length;
}

/** Runs commands where a page's files were written. */
function inProject(page: string, connectionString: string) {
  const options = { cwd: directoryOf(page), env: { ...process.env, DATABASE_URL: connectionString, SYMPHONY_HEALTH_PORT: "0" } };
  return {
    node: (...argv: string[]) => run(process.execPath, argv, options),
    symphony: (...argv: string[]) => run(join(ROOT, "node_modules/.bin/symphony"), argv, options),
  };
}

test("every TypeScript block of the documents compiles, under the flags of the library", async () => {
  const blocks = PAGES.map(extract).reduce((sum, n) => sum + n, 0);
  assert.ok(blocks >= 8, `only ${blocks} blocks were found`);
  const compilerOptions = { noEmit: true, composite: false, declaration: false, declarationMap: false, customConditions: ["source"] };
  writeFileSync(join(work, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(
    join(work, "tsconfig.json"),
    JSON.stringify({ extends: join(ROOT, "tsconfig.base.json"), compilerOptions, include: ["."] }),
  );
  const { stdout } = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", work]).catch((error: { stdout: string }) => error);
  // What is wrong with the packages themselves is said by their own builds.
  assert.deepEqual(
    stdout.split("\n").filter((line) => line.includes("symphony-docs-")),
    [],
  );
});

test("the handler of the README greets", { timeout: 120_000 }, async () => {
  extract("README.md");
  await withDatabase(async (connectionString) => {
    const project = inProject("README.md", connectionString);
    const [dispatch, consume] = [...read("README.md").matchAll(/^npx symphony (dispatch|consume) (.*)$/gm)];
    assert.equal(dispatch?.[2], `hello.greet '{"name":"Ada"}'`);
    assert.equal(consume?.[2], "--limit 1");
    await project.symphony("dispatch", "hello.greet", '{"name":"Ada"}');
    assert.match((await project.symphony("consume", "--limit", "1")).stdout, /Hello, Ada!/);
  });
});

test("the project of docs/getting-started.md does what the page says", { timeout: 120_000 }, async () => {
  const page = "docs/getting-started.md";
  extract(page);
  await withDatabase(async (connectionString, pool) => {
    const { node, symphony } = inProject(page, connectionString);
    const send = () => node("--conditions=source", "send.ts");

    assert.match((await send()).stdout, /is on its way/);
    assert.match((await send()).stdout, /was sent before/);
    assert.match((await symphony("consume", "--limit", "4")).stdout, /invoice sent/);
    const { rows } = await pool.query<{ n: number }>(
      "select count(*)::int n from symphony.job where name = 'invoices' and state < 'completed'",
    );
    assert.equal(rows[0]?.n, 0);
    const failed = await symphony("failed", "list");
    assert.match(failed.stdout, /unrecoverable.*nobody reads mail at nobody@example\.com/);
    const id = /^[0-9a-f-]{36}/m.exec(failed.stdout)?.[0] ?? "";
    await symphony("failed", "retry", id);
    assert.match((await symphony("status")).stdout, /invoices +1 /);
  });
});

test("the schedules of docs/schedules.md are listed as the page shows, and run", { timeout: 120_000 }, async () => {
  const page = "docs/schedules.md";
  extract(page);
  await withDatabase(async (connectionString, pool) => {
    const { symphony } = inProject(page, connectionString);
    await symphony("setup");
    const { stdout } = await symphony("schedule", "list");
    const shown = (text: string): string[] =>
      [...text.matchAll(/^(daily-report|invite|rates) .*? (report\.daily|team\.invite|rates\.refresh) /gm)].map(([line]) => line);
    assert.deepEqual(shown(stdout), shown(read(page)));
    assert.match((await symphony("schedule", "pause", "rates")).stdout, /^paused the schedule rates$/m);
    const ran = await symphony("schedule", "run", "daily-report");
    assert.match(ran.stdout, /^[0-9a-f-]{36} dispatched by the schedule daily-report$/m);
    assert.match((await symphony("consume", "--limit", "1")).stdout, /report written/);
    const { rows } = await pool.query<{ name: string; paused: boolean }>(
      "select name, paused_at is not null as paused from symphony.messenger_schedule order by name",
    );
    assert.deepEqual(rows, [
      { name: "daily-report", paused: false },
      { name: "invite", paused: false },
      { name: "rates", paused: true },
    ]);
  });
});

test("no TypeScript block goes without a file name, and so without being compiled", () => {
  for (const page of PAGES) assert.doesNotMatch(read(page), /^```(ts|typescript|js|javascript)$/m, page);
});

test("links between the documents lead to files and headings that exist", () => {
  for (const page of PAGES) {
    for (const [, target = ""] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(page, "..", path);
      const text = read(file);
      if (anchor === undefined) continue;
      const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replace(/[^\w\s-]/g, "")
          .replace(/\s/g, "-"),
      );
      assert.ok(anchors.includes(anchor), `${page} links to ${target}`);
    }
  }
});

const configuration = read("docs/configuration.md");
const isExplained = (name: string): boolean => configuration.includes(`\`${name}\``);

test("docs/configuration.md has every key of the worker", () => {
  assert.deepEqual(
    Object.keys(workerConfigSchema.shape).filter((key) => !isExplained(key)),
    [],
  );
});

test("docs/configuration.md has every option of the PostgreSQL transport, with its default", () => {
  const source = /const optionsSchema = object\(\{(.*?)^\}\);/ms.exec(read("packages/transport-pgboss/src/options.ts"))?.[1] ?? "";
  const options = [...source.matchAll(/^ {2}(\w+)(?::.*?(?:default: ("?)([^"\s}]+)\2 \}\),)|,)$/gm)];
  assert.ok(options.length >= 10, `only ${options.length} options were found`);
  for (const [, name = "", , value] of options) {
    assert.ok(isExplained(name), name);
    if (value === undefined || !/^[\d_]+$/.test(value)) continue;
    assert.match(
      configuration,
      new RegExp(`^\\| \`${name}\` \\| \`?${value.replaceAll("_", "")}\`? \\|`, "m"),
      `${name} is ${value} by default`,
    );
  }
});
