import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createDatabase, sharedServer } from "../support/database.ts";
import { Processes } from "../support/processes.ts";
import { type Block, blocksOf, Ids, readDoc, UUID } from "./doc-page.ts";

const PAGE = "operate.md";
const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../bin/symphony", import.meta.resolve("@symphony/cli")));
/** Milliseconds. Commands that only look are repeated so long: the fleet goes on meanwhile. */
const PATIENCE_MS = 60_000;
const TOKEN = "kP3v9sX2mQ7tR4wZ8yB1nC6dF5gH0jLa";
const run = promisify(execFile);

interface Shop {
  readonly directory: string;
  readonly databaseUrl: string;
  readonly processes: Processes;
}

/** The project of the page, with a fleet that works for it. */
async function openShop(t: TestContext, config: string): Promise<Shop> {
  await using undo = new AsyncDisposableStack();
  const server = await sharedServer();
  undo.defer(() => server.release());
  const database = await createDatabase(server);
  undo.defer(() => database.close({ keep: false }));
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "symphony-operate-")));
  undo.defer(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "symphony.config.ts"), config);
  symlinkSync(MODULES, join(directory, "node_modules"));
  const processes = new Processes();
  undo.defer(() => processes.end());
  const databaseUrl = database.connectionString;
  const fleet = processes.symphony(["consume", "--processes", "1", "--concurrency", "40", "--json"], {
    cwd: directory,
    env: { DATABASE_URL: databaseUrl, SYMPHONY_HEALTH_PORT: "0" },
  });
  await fleet.waitForLine("fleet starting");
  const owned = undo.move();
  t.after(() => owned.disposeAsync());
  return { directory, databaseUrl, processes };
}

/** What a run shows, with the names of the page instead of those of this machine. */
function asOnThePage(output: string, { directory }: Shop): string {
  return output
    .replaceAll(directory, "/srv/shop")
    .replaceAll(new RegExp(`(?<![\\w.-])${hostname().replaceAll(".", "\\.")}(?![\\w.-])`, "g"), "fleet-1")
    .replaceAll(new RegExp(`\\b${userInfo().username}\\b(?= \\(cli\\)|  \\d{4}-)`, "g"), "ada")
    .replaceAll(/(?:\n +at .*(?:\/packages\/core\/|node:internal).*)+/g, "\n …");
}

/** Without what is another each time: ids, times, durations, process ids, places in Node.js; and without the width of columns. */
function comparable(output: string): string {
  return output
    .replaceAll(UUID, "(id)")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(time)")
    .replaceAll(/\b[0-9a-f]{16}\b/g, "(fingerprint)")
    .replaceAll(/\b\d+(?:ms|s|m|h)\b(?: \d+(?:s|m)\b)?/g, "(duration)")
    .replaceAll(/(?<="number": )\d+/g, "(number)")
    .replaceAll(/(?<=fleet-1\s+)\d+/g, "(pid)")
    .replaceAll(/:\d+:\d+(?=\)?$)/gm, ":(place)")
    .replaceAll(/\((?:cli|token)\)/g, "(kind)")
    .replaceAll(/[ ]+/g, " ")
    .trim();
}

const onlyLooks = (command: string): boolean => !/\b(?:pause|resume|retry)\b(?!.*--dry-run)/.test(command);

/** Runs all commands of the page: the operator's with `env`, what happens in the shop itself on the database. */
async function walk(shop: Shop, blocks: readonly Block[], env: Readonly<Record<string, string>>): Promise<void> {
  const ids = new Ids();
  const shell = async (command: string, given: Readonly<Record<string, string>>): Promise<string> => {
    const path = `${dirname(PROGRAM)}:${process.env.PATH ?? ""}`;
    const { stdout } = await run("sh", ["-ec", command], { cwd: shop.directory, env: { ...process.env, PATH: path, ...given } });
    return asOnThePage(stdout, shop);
  };
  for (const { language, text } of blocks) {
    if (language === "sh") await shell(text, { DATABASE_URL: shop.databaseUrl });
    if (language !== "console") continue;
    const [first = "", ...shown] = text.split("\n");
    const command = ids.inThisRun(first.replace(/^\$ /, ""));
    const expected = comparable(shown.join("\n"));
    const deadline = performance.now() + PATIENCE_MS;
    let actual = await shell(command, env);
    while (comparable(actual) !== expected && onlyLooks(command) && performance.now() < deadline) actual = await shell(command, env);
    assert.equal(comparable(actual), expected, `${command}\n${actual}`);
    ids.learn(shown.join("\n"), actual);
  }
}

async function begin(t: TestContext): Promise<{ shop: Shop; blocks: readonly Block[] }> {
  const [config, ...blocks] = blocksOf(readDoc(PAGE));
  assert.equal(config?.language, "ts");
  const shop = await openShop(t, config.text);
  return { shop, blocks };
}

test("docs/operate.md shows what an operator sees, from the stuck queue to the last invoice", async (t) => {
  const { shop, blocks } = await begin(t);
  await walk(shop, blocks, { DATABASE_URL: shop.databaseUrl });
});

test("docs/operate.md shows the same through the admin API, without a way to the database", async (t) => {
  const { shop, blocks } = await begin(t);
  const sha256 = createHash("sha256").update(TOKEN).digest("hex");
  const scopes = ["symphony:read", "symphony:payload", "symphony:operate"];
  const tokens = join(shop.directory, "tokens.json");
  writeFileSync(tokens, JSON.stringify({ tokens: [{ name: "ada", sha256, scopes }] }));
  const admin = shop.processes.symphony(["admin", "--port", "0", "--json"], {
    cwd: shop.directory,
    env: { DATABASE_URL: shop.databaseUrl, SYMPHONY_AUTH_TOKENS_FILE: tokens, SYMPHONY_HEALTH_PORT: "0" },
  });
  const url = String((await admin.waitForLine("admin API listening")).json?.url);
  await walk(shop, blocks, { SYMPHONY_URL: url, SYMPHONY_AUTH_TOKEN: TOKEN });
});
