import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { dirname, resolve } from "node:path";
import { defineCommand, text } from "../command.ts";
import { embeddedDirectory, findConfigFile } from "../config-file.ts";
import { type Child, type ChildEnd, devLoop } from "../dev-loop.ts";
import { type Environment, readDatabaseUrl } from "../environment.ts";
import type { Io } from "../io.ts";
import { maskDsn } from "../mask.ts";
import { resolveSettings } from "../settings.ts";
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
  const given = readDatabaseUrl(io.environment);
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

function startChild(io: Io, line: readonly string[], more: Environment): Child {
  const program = process.argv[1] ?? "";
  const child = spawn(process.execPath, [...process.execArgv, program, ...line], {
    cwd: io.directory,
    env: { ...io.environment, ...more },
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

const CREDENTIALS = ["AUTH_TOKEN", "AUTH_TOKENS_FILE", "AUTH_JWKS_URL", "AUTH_JWT_SECRET"].map((name) => `SYMPHONY_${name}`);

/** Credentials of the admin API: those of the environment, else a token that is good until `dev` ends. */
function openAdminApi(io: Io, say: (text: string) => void): Environment {
  const given = CREDENTIALS.find((name) => (io.environment[name] ?? io.environment[`${name}_FILE`] ?? "") !== "");
  if (given !== undefined) {
    say(`admin API: the credentials of ${given}`);
    return {};
  }
  const token = `dev_${randomBytes(24).toString("base64url")}`;
  const { adminHost, adminPort } = resolveSettings({ environment: io.environment });
  const where = adminPort.value === 0 ? "" : ` http://${adminHost.value}:${adminPort.value}`;
  say(`admin API:${where} with the token ${token}`);
  return { SYMPHONY_AUTH_TOKEN: token };
}

export const dev = defineCommand({
  usage: "dev",
  describe: "Embedded PostgreSQL, a worker and the admin API in one, restarted when code changes",
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
    const common = [...config, ...verbose, ...(flags.json === true ? ["--json"] : [])];
    const shared: Environment = { DATABASE_URL_FILE: undefined, ...(database === undefined ? {} : { DATABASE_URL: database.url }) };
    // Its probes would want the worker's port.
    const ofAdmin = { ...shared, ...openAdminApi(io, say), SYMPHONY_HEALTH_PORT: "0" };
    const watch = (changed: (paths: readonly string[]) => void) => watchTree(file === null ? home : dirname(file), io.clock, changed);
    const loop = (start: () => Child, what: string): Promise<void> =>
      devLoop({ start, watch, say: (message) => say(what + message), signal: io.signal });
    try {
      await Promise.all([
        loop(() => startChild(io, ["consume", ...given, ...common], shared), ""),
        loop(() => startChild(io, ["admin", ...common], ofAdmin), "admin API: "),
      ]);
    } finally {
      await database?.release();
    }
  },
});
