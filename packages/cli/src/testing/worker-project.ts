import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { type TestDatabase, testDatabase } from "./database.ts";
import { project } from "./project.ts";
import { type Ended, type Running, run, runJson, start } from "./symphony.ts";

/** Handlers write what they do to a file: the same from a thread as from the worker process. */
const CONFIG = `import { appendFileSync } from "node:fs";
import { defineConfig, defineHandler, defineMessage, UnrecoverableError } from "@symphony/core";
import { z } from "zod";
const note = (text) => appendFileSync(new URL("handled.log", import.meta.url), text + "\\n");
const Greet = defineMessage("greet", { schema: z.object({ name: z.string() }) });
const Any = defineMessage("any");
const Boom = defineMessage("boom", { retry: { maxRetries: 0 }, queue: "risky" });
const Final = defineMessage("final", { queue: "risky" });
const Slow = defineMessage("slow", { schema: z.object({ ms: z.number() }) });
const Late = defineMessage("late");
const Inline = defineMessage("inline");
export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL ?? "embedded:" } },
  routing: { "*": "default" },
  handlers: [
    defineHandler(Greet, ({ name }) => note("greet " + name), { name: "greet" }),
    defineHandler(Any, (payload) => note("any " + JSON.stringify(payload).length), { name: "any" }),
    defineHandler(Boom, ({ why = "kaputt" }) => { throw new Error(why); }, { name: "boom" }),
    defineHandler(Final, () => { throw new UnrecoverableError("never again"); }, { name: "final" }),
    defineHandler(Slow, async ({ ms }, { signal, messageId }) => {
      note("slow begins " + messageId);
      await new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
      });
      note("slow ends " + messageId);
    }, { name: "slow" }),
    defineHandler(Late, () => { setTimeout(() => { throw new Error("late"); }, 10); }, { name: "late", execution: "inline" }),
    defineHandler(Inline, () => note("inline"), { name: "inline", execution: "inline" }),
  ],
});
`;

export interface WorkerProject {
  readonly directory: string;
  readonly database: TestDatabase;
  run(line: readonly string[], input?: string | Buffer): Promise<Ended>;
  json<T>(line: readonly string[], input?: string | Buffer): Promise<T>;
  start(line: readonly string[]): Running;
  /** What handlers have written, a line each. */
  handled(): readonly string[];
  /** Resolves when handlers have written a line that matches. */
  handling(pattern: RegExp): Promise<void>;
  queues(): Promise<Readonly<Record<string, QueueState>>>;
  failed(): Promise<readonly FailedRow[]>;
}

export interface QueueState {
  readonly ready: number;
  readonly scheduled: number;
  readonly active: number;
  readonly failed: number;
  readonly completed: number;
}

export interface FailedRow {
  readonly id: string;
  readonly type: string | null;
  readonly queue: string;
  readonly reason: string;
  readonly attempts: number;
  readonly error: { readonly name: string; readonly message: string };
  readonly payload?: unknown;
  readonly body?: string;
}

/** A project with its own database, used through the real command. */
export async function workerProject(t: TestContext): Promise<WorkerProject> {
  const database = await testDatabase(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const environment = { DATABASE_URL: database.url };
  const json = <T>(line: readonly string[], input?: string | Buffer): Promise<T> =>
    runJson<T>(t, line, { directory, environment, ...(input === undefined ? {} : { input }) });
  const log = join(directory, "handled.log");
  const handled = (): readonly string[] => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);
  return {
    directory,
    database,
    json,
    run: (line, input) => run(t, line, { directory, environment, ...(input === undefined ? {} : { input }) }),
    start: (line) => start(t, line, { directory, environment }),
    handled,
    handling: async (pattern) => {
      await waitFor(() => handled().some((line) => pattern.test(line)), { what: `a handler to write ${pattern}` });
    },
    queues: async () => {
      const { queues } = await json<{ queues: readonly (QueueState & { queue: string })[] }>(["status"]);
      return Object.fromEntries(queues.map(({ queue, ...state }) => [queue, state]));
    },
    failed: async () => (await json<{ messages: readonly FailedRow[] }>(["failed", "list", "--payload", "--limit", "200"])).messages,
  };
}
