import { spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import { defineCommand, text } from "../command.ts";
import { embeddedDirectory, findConfigFile } from "../config-file.ts";
import { type Child, type ChildEnd, devLoop } from "../dev-loop.ts";
import { readVariable } from "../environment.ts";
import type { Io } from "../io.ts";
import { maskDsn } from "../mask.ts";
import { watchTree } from "../watch-tree.ts";

interface Database {
  readonly url: string;
  release(): Promise<void>;
}

/**
 * The database for all children: `DATABASE_URL`, else an embedded PostgreSQL that is kept while they come and go.
 * Undefined when its package is not installed: then the configuration has to name one.
 */
async function openDatabase(io: Io, home: string): Promise<Database | undefined> {
  const given = readVariable(io.environment, "DATABASE_URL", { secret: true });
  if (given !== undefined) return { url: given.value, release: () => Promise.resolve() };
  let embedded: typeof import("@symphony/embedded-postgres");
  try {
    embedded = await import("@symphony/embedded-postgres");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return undefined;
  }
  const postgres = await embedded.acquire({ directory: embeddedDirectory(home) });
  return { url: postgres.connectionString, release: () => postgres.release() };
}

function startChild(io: Io, line: readonly string[], database: Database | undefined): Child {
  const program = process.argv[1] ?? "";
  const child = spawn(process.execPath, [...process.execArgv, program, ...line], {
    cwd: io.directory,
    env: { ...io.environment, DATABASE_URL_FILE: undefined, ...(database === undefined ? {} : { DATABASE_URL: database.url }) },
    // A group of its own: Ctrl-C is for us, who pass it on once. The channel ends with us, and the child with it.
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("error", () => resolve({ code: null, signal: null }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  return { ended, stop: () => void child.kill("SIGTERM") };
}

export const dev = defineCommand({
  usage: "dev",
  describe: "Embedded PostgreSQL and a worker in one, restarted when code changes",
  options: {
    concurrency: text("Messages at a time"),
    threads: text("Pool threads"),
    queues: text("Only these queues: a,b in this order, or a=3,b=1 by weight"),
  },
  examples: [
    ["symphony dev", "work on what `symphony dispatch` sends from another terminal"],
    ["DATABASE_URL=postgres://localhost/shop symphony dev", "on a PostgreSQL of one's own"],
  ],
  async run(io, flags) {
    const file = flags.config === undefined ? findConfigFile(io.directory) : resolve(io.directory, flags.config);
    const home = file === null || flags.config !== undefined ? io.directory : dirname(file);
    const database = await openDatabase(io, home);
    const say = (message: string): void => io.err(`dev: ${message}\n`);
    say(
      `watching ${file === null ? home : dirname(file)}; database ${database === undefined ? "of the configuration" : maskDsn(database.url)}`,
    );
    const given = (["concurrency", "threads", "queues"] as const).flatMap((name) =>
      flags[name] === undefined ? [] : [`--${name}`, flags[name]],
    );
    const verbose = flags.verbose === undefined || flags.verbose === 0 ? [] : [`-${"v".repeat(flags.verbose)}`];
    const config = flags.config === undefined ? [] : ["--config", flags.config];
    const line = ["consume", ...given, ...config, ...verbose, ...(flags.json === true ? ["--json"] : [])];
    try {
      await devLoop({
        start: () => startChild(io, line, database),
        watch: (changed) => watchTree(file === null ? home : dirname(file), io.clock, changed),
        say,
        signal: io.signal,
      });
    } finally {
      await database?.release();
    }
  },
});
