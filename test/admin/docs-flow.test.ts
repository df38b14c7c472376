import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createDatabase, sharedServer } from "../support/database.ts";
import { Processes } from "../support/processes.ts";
import { type Block, blocksOf, docPath, Ids, readDoc, UUID } from "./doc-page.ts";

const PAGE = "admin-api.md";
const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const run = promisify(execFile);

/** What is another number or text each time; of these only the kind is compared. */
const VARIES = new Set([
  "averageProcessingTime",
  "uptime",
  "memoryUsage",
  "oldestPendingAgeMs",
  "oldestReadyAgeMs",
  "stack",
  "tokenId",
  "address",
  "fingerprint",
  "nextCursor",
]);

/** Blocks of the flow: its configuration, then commands, each perhaps followed by its answer. */
function flowOf(page: string): readonly Block[] {
  return blocksOf(page.slice(page.indexOf("## A message's way"), page.indexOf("## Autoscaling")));
}

/** The same for two answers that differ only in what is another each time. */
function comparable(value: unknown, key = ""): unknown {
  if (VARIES.has(key)) return value === null ? null : typeof value;
  if (typeof value === "string") return value.replaceAll(UUID, "(id)").replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(time)");
  if (Array.isArray(value)) return value.map((each) => comparable(each));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, comparable(each, name)]));
}

test("docs/admin-api.md shows what curl answers, from the first message to the undoing", async (t) => {
  await using undo = new AsyncDisposableStack();
  const server = await sharedServer();
  undo.defer(() => server.release());
  const database = await createDatabase(server);
  undo.defer(() => database.close({ keep: false }));
  const directory = mkdtempSync(join(tmpdir(), "symphony-docs-"));
  undo.defer(() => rmSync(directory, { recursive: true }));
  const page = readDoc(PAGE);
  const [config, ...blocks] = flowOf(page);
  assert.equal(config?.language, "ts");
  writeFileSync(join(directory, "symphony.config.ts"), config.text);
  symlinkSync(MODULES, join(directory, "node_modules"));
  const secrets = { TOKEN: "kP3v9sX2mQ7tR4wZ8yB1nC6dF5gH0jLa", CRON_SECRET: "mQ7tR4wZ8yB1nC6dF5gH" };
  const processes = new Processes();
  undo.defer(() => processes.end());
  const admin = processes.symphony(["admin", "--port", "0", "--json"], {
    cwd: directory,
    env: {
      DATABASE_URL: database.connectionString,
      SYMPHONY_AUTH_TOKEN: secrets.TOKEN,
      CRON_SECRET: secrets.CRON_SECRET,
      SYMPHONY_HEALTH_PORT: "0",
    },
  });
  const url = String((await admin.waitForLine("admin API listening")).json?.url);
  const ids = new Ids();
  let text = page;
  for (const [i, { language, text: command }] of blocks.entries()) {
    if (language !== "sh") continue;
    const here = ids
      .inThisRun(command)
      .replaceAll("http://127.0.0.1:8080", url)
      .replaceAll(/\bcurl\b/g, "curl -sS");
    const { stdout } = await run("sh", ["-ec", here], { cwd: directory, env: { ...process.env, ...secrets } });
    const shown = blocks[i + 1];
    if (shown?.language !== "json") continue;
    const answer =
      stdout
        .trim()
        .split("\n")
        .at(-1)
        ?.match(/\{.*\}$/)?.[0] ?? "";
    const actual = answer.replaceAll(url, "http://127.0.0.1:8080").replaceAll(/"stack":"(?:[^"\\]|\\.)*"/g, '"stack":"…"');
    if (process.env.UPDATE === "1") text = text.replace(shown.text, () => `${actual}\n`);
    else assert.deepEqual(comparable(JSON.parse(actual)), comparable(JSON.parse(shown.text)), command);
    ids.learn(shown.text, actual);
    if (process.env.UPDATE === "1") text = ids.write(text);
  }
  if (process.env.UPDATE === "1") writeFileSync(docPath(PAGE), text);
  t.diagnostic(`${blocks.filter(({ language }) => language === "sh").length} commands`);
});
