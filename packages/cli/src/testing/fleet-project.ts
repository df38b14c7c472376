import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type TestDatabase, testDatabase } from "./database.ts";
import { project } from "./project.ts";
import { type Ended, type Running, run, runJson, start } from "./symphony.ts";
import type { FailedRow, QueueState } from "./worker-project.ts";

/** Handlers that say in which process they run: a line `kind pid id`. */
const CONFIG = `import { appendFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
const note = (kind, { messageId }) => appendFileSync(new URL("handled.log", import.meta.url), kind + " " + process.pid + " " + messageId + "\\n");
const retry = { maxRetries: 3, delayMs: 50 };
const Brief = defineMessage("brief");
const Hold = defineMessage("hold");
const Killer = defineMessage("killer", { retry });
const Nested = defineMessage("nested");
const NestedInThread = defineMessage("nested-in-thread");
/** As libraries do that start threads of their own. */
const nested = (_, context) => new Promise((resolve, reject) => {
  const thread = new Worker("", { eval: true, execArgv: process.execArgv });
  thread.once("error", reject);
  thread.once("exit", () => { note("nested", context); resolve(); });
});
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL ?? "embedded:" } },
  handlers: [
    defineHandler(Brief, (_, context) => note("brief", context), { name: "brief", execution: "inline" }),
    defineHandler(Hold, (_, context) => new Promise((resolve, reject) => {
      note("hold", context);
      const timer = setTimeout(resolve, 60_000);
      context.signal.addEventListener("abort", () => { clearTimeout(timer); reject(context.signal.reason); });
    }), { name: "hold", execution: "inline" }),
    defineHandler(Nested, nested, { name: "nested-inline", execution: "inline" }),
    defineHandler(NestedInThread, nested, { name: "nested-in-thread", execution: "thread" }),
    defineHandler(Killer, () => process.abort(), { name: "killer", execution: "inline" }),
  ],
});
`;

export interface FleetProject {
  readonly directory: string;
  readonly database: TestDatabase;
  run(line: readonly string[]): Promise<Ended>;
  json<T>(line: readonly string[]): Promise<T>;
  start(line: readonly string[]): Running;
  /** Dispatches so many messages of this type. */
  send(type: string, count: number): Promise<void>;
  /** What handlers have written, a line each. */
  lines(): readonly string[];
  queues(): Promise<Readonly<Record<string, QueueState>>>;
  failed(): Promise<readonly FailedRow[]>;
}

/** A project with its own database whose handlers hold on, kill, or are done at once. */
export async function fleetProject(t: TestContext, more: Readonly<Record<string, string>> = {}): Promise<FleetProject> {
  const database = await testDatabase(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const options = { directory, environment: { DATABASE_URL: database.url, ...more } };
  const json = <T>(line: readonly string[]): Promise<T> => runJson<T>(t, line, options);
  const log = join(directory, "handled.log");
  return {
    directory,
    database,
    json,
    run: (line) => run(t, line, options),
    start: (line) => start(t, line, options),
    send: async (type, count) => {
      const { code, err } = await run(t, ["dispatch", type, "--many"], { ...options, input: "{}\n".repeat(count) });
      if (code !== 0) throw new Error(`the messages were not sent: ${err}`);
    },
    lines: () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []),
    queues: async () => {
      const { queues } = await json<{ queues: readonly (QueueState & { queue: string })[] }>(["status"]);
      return Object.fromEntries(queues.map(({ queue, ...state }) => [queue, state]));
    },
    failed: async () => (await json<{ messages: readonly FailedRow[] }>(["failed", "list"])).messages,
  };
}

/** Process ids of the children of `pid`. */
export function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

export function isAlive(pid: number): boolean {
  try {
    // A zombie is gone; who should reap it is not asked here.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    // No such directory: no such process.
    return false;
  }
}

/** The answer of a probe: status, a space, text. */
export async function probe(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/${path}`);
  return `${response.status} ${await response.text()}`;
}
