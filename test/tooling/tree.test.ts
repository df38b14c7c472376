import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

const root = join(import.meta.dirname, "../..");

/** What is, or with the next `git add` would be, committed; without what is not text. */
function committedFiles(): readonly string[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root, encoding: "utf8" });
  const paths = listed.split("\0").filter((path) => path !== "" && existsSync(join(root, path)));
  assert.ok(paths.includes("package.json"), "not a checkout");
  return paths.filter((path) => !read(path).includes("\0"));
}

const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** `path:line: text` of every line that matches. */
function linesMatching(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim().slice(0, 120)}`] : [])),
  );
}

describe("the committed files", () => {
  const files = committedFiles();

  it("name no home directory and no checkout on somebody's machine", () => {
    // That of the images of Node.js is no person's, and the others are made up.
    const home = /(?<![\w.])(?:\/root|\/home\/(?!(?:node|other|user)\b)[\w.-]+|\/Users\/[\w.-]+|[A-Z]:\\Users\\[\w.-]+)[/\\]\w/;
    assert.deepEqual(linesMatching(files, home), []);
    assert.deepEqual(
      files.filter((path) => root.split("/").length > 2 && read(path).includes(`${root}/`)),
      [],
    );
  });

  it("name no package registry", () => {
    const known = /registry\.(?:npmjs|yarnpkg)\.|\b(?:artifactory|verdaccio|jfrog|nexus3?)\b[.:/]|\.npmrc:.*_authToken/i;
    const here = process.env.npm_config_registry;
    const host = here === undefined ? "" : new URL(here).host;
    assert.deepEqual(
      linesMatching(
        files.filter((path) => path !== "test/tooling/tree.test.ts"),
        known,
      ),
      [],
    );
    assert.deepEqual(
      files.filter((path) => host !== "" && read(path).includes(host)),
      [],
    );
  });

  it("compare no secret by ===, which takes the longer the more of it is right", () => {
    const sources = files.filter((path) => /^packages\/[^/]+\/src\/.*(?<!\.test)\.ts$/.test(path) && !path.includes("/testing/"));
    // Not their names, files or kinds; and whether there is one may be asked.
    const secret = String.raw`\w*(?:token|secret|password)\b`;
    const compared = new RegExp(
      String.raw`${secret}\)?\s*[=!]==(?!\s*(?:undefined|null|true|false|""|"\w+"))|[=!]==\s*(?:\w+\.)*#?${secret}`,
      "i",
    );
    assert.deepEqual(linesMatching(sources, compared), []);
    for (const line of ["if (token === given)", "return given !== this.#secret;", "a.password === b"]) assert.match(line, compared);
  });

  it("hold code that takes time and randomness from its parameters", () => {
    const sources = files.filter((path) => /^packages\/(?!cli\/)[^/]+\/src\/.*(?<!\.test)\.ts$/.test(path) && !path.includes("/testing/"));
    const sourcesOfTime = ["packages/core/src/clock.ts", "packages/embedded-postgres/src/timing.ts"];
    const direct = /^(?!\s*(?:\*|\/\/|\/\*)).*\b(?:Date\.now\(|Math\.random\(|performance\.now\(|new Date\(\))/;
    assert.deepEqual(
      linesMatching(
        sources.filter((path) => !sourcesOfTime.includes(path)),
        direct,
      ),
      [],
    );
  });
});

describe("package-lock.json", () => {
  const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, LockEntry> };
  const entries = Object.entries(lock.packages);

  it("says what to install, not where from", () => {
    const urls = entries.filter(([, entry]) => typeof entry.resolved === "string" && entry.resolved.includes(":"));
    assert.deepEqual(
      urls.map(([name]) => name),
      [],
    );
  });

  // npm leaves out those that the registry of the moment does not have, and then refuses to install from the result.
  it("names the optional packages for every platform", () => {
    const optional = entries.flatMap(([, entry]) => Object.keys(entry.optionalDependencies ?? {}));
    const missing = optional.filter((name) => !entries.some(([path]) => path.endsWith(`node_modules/${name}`)));
    assert.deepEqual(missing, []);
  });

  it("has no install script that nobody has allowed or forbidden", () => {
    const { allowScripts } = JSON.parse(read("package.json")) as { allowScripts: Record<string, boolean> };
    const running = entries.filter(([, entry]) => entry.hasInstallScript === true).map(([path]) => path.replace(/^.*node_modules\//, ""));
    assert.deepEqual(
      running.filter((name) => !Object.hasOwn(allowScripts, name)),
      [],
    );
  });
});

interface LockEntry {
  readonly resolved?: string;
  readonly optionalDependencies?: Record<string, string>;
  readonly hasInstallScript?: boolean;
}
