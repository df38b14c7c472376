import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { runCli } from "./cli.ts";
import { testDatabase } from "./testing/database.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";

interface Report {
  readonly healthy: boolean;
  readonly findings: readonly {
    readonly code: string;
    readonly severity: string;
    readonly transport: string | null;
    readonly cure: string;
  }[];
  readonly unexamined: readonly string[];
}

const config = (dsn: string): string => `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const Resize = defineMessage("image.resize", { queue: "images" });
const Lost = defineMessage("lost.message");
async function resize() {}
export default defineConfig({
  transports: { default: { dsn: ${JSON.stringify(dsn)} } },
  routing: { "image.*": "default", "lost.*": "default" },
  handlers: [defineHandler(Resize, resize)],
  messages: [Lost],
});`;

async function examine(t: TestContext, dsn: string, ...flags: string[]) {
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": config(dsn) }) });
  const code = await runCli(["doctor", ...flags], io);
  return { code, out: io.output(), err: io.errors() };
}

test("doctor fails before set-up with the command that cures it, and is content afterwards", async (t) => {
  const { url } = await testDatabase(t);
  const before = await examine(t, url, "--json");
  const report = JSON.parse(before.out) as Report;
  assert.deepEqual([before.code, report.healthy], [1, false]);
  const missing = report.findings.find(({ code }) => code === "schema-missing");
  assert.deepEqual([missing?.severity, missing?.transport, missing?.cure], ["error", "default", "symphony setup"]);
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": config(url) }) });
  assert.equal(await runCli(["setup"], io), 0, io.errors());
  const after = await examine(t, url);
  assert.equal(after.code, 0, after.out);
  assert.match(after.out, /INFO message-without-handler \(configuration\)\n {2}no handler of this configuration takes "lost\.message"/);
});

test("doctor says which transports it cannot examine, and exits 75 when the database is away", async (t) => {
  const memory = await examine(t, "memory:");
  assert.equal(memory.code, 0);
  assert.match(memory.out, /default: cannot be examined/);
  assert.equal((await examine(t, "postgres://postgres@127.0.0.1:1/postgres")).code, 75);
});

test("doctor finds the embedded PostgreSQL in production", async (t) => {
  const directory = project(t, { "symphony.config.ts": config("embedded:") });
  const io = memoryIo({ directory, environment: { NODE_ENV: "production" } });
  assert.equal(await runCli(["doctor", "--json"], io), 1);
  assert.ok((JSON.parse(io.output()) as Report).findings.some(({ code }) => code === "embedded-in-production"));
});

test("docs/doctor.md has every finding", () => {
  const page = readFileSync(new URL("../../../docs/doctor.md", import.meta.url), "utf8");
  const doctor = new URL("../../transport-pgboss/src/doctor/", import.meta.url);
  const sources = [
    new URL("commands/doctor.ts", import.meta.url),
    ...["doctor.ts", "server-checks.ts", "queue-checks.ts"].map((name) => new URL(name, doctor)),
  ];
  const found = sources.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/code: "([a-z-]+)"/g)].map((match) => match[1] ?? ""));
  const codes = new Set([...found, "autovacuum-off", "track-counts-off"]);
  assert.ok(codes.size > 20);
  for (const code of codes) assert.ok(page.includes(`| \`${code}\` |`), code);
});
