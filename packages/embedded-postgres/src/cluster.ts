import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Binaries, findBinaries } from "./binaries.ts";
import { type Credentials, freePort, readCredentials, writeCredentials } from "./credentials.ts";
import { EmbeddedPostgresError } from "./errors.ts";
import { filesOf, type Location, type ServerUser } from "./location.ts";
import { openLog, tailOf } from "./log-file.ts";
import { findReady, findSurvivor, isAlive, type Postmaster } from "./postmaster.ts";
import { deadlineIn, until } from "./timing.ts";

const READY_WITHIN_MS = 60_000;
const STOPPED_WITHIN_MS = 30_000;
const ATTEMPTS = 5;

/** A running PostgreSQL, started by us or found running. */
export interface Cluster {
  readonly connectionString: string;
  readonly version: string;
  /** Resolves when the server is gone, whoever stopped it. */
  readonly gone: Promise<void>;
  /** Disconnects the clients, writes everything down, ends. Resolves when no process of it is left. */
  stop(): Promise<void>;
}

/**
 * Makes PostgreSQL run on the data of `location`, whatever state the last host left it in. The caller holds the lock.
 *
 * A server that outlived its host is taken over, not restarted: its clients notice nothing.
 */
export async function runCluster(location: Location): Promise<Cluster> {
  const files = filesOf(location.directory);
  const binaries = findBinaries(location.serverUser);
  await initialise(location, binaries);
  const version = await versionOf(binaries);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    // The port of last time, if it is free: connection strings outlive the server.
    const credentials = readCredentials(files.credentials);
    const survivor = await findSurvivor(files.data, READY_WITHIN_MS);
    const postmaster = survivor ?? (await start(location, binaries, credentials));
    if (postmaster !== undefined) return describe(postmaster, credentials, version);
  }
  throw new EmbeddedPostgresError(`PostgreSQL does not start in ${location.directory}:\n${tailOf(files.serverLog)}`);
}

/** Makes the data directory. It appears complete or not at all: a crash on the way leaves a draft that the next run removes. */
async function initialise(location: Location, binaries: Binaries): Promise<void> {
  const files = filesOf(location.directory);
  for (const left of readdirSync(location.directory)) {
    if (left.startsWith(DRAFT)) rmSync(join(location.directory, left), { recursive: true, force: true });
  }
  if (existsSync(join(files.data, "global", "pg_control"))) return checkOwner(location);
  // Something else is in the place of the data. It is not ours to delete.
  if (existsSync(files.data)) renameSync(files.data, mkdtempSync(`${files.data}-unusable-`));
  const credentials = writeCredentials(files.credentials);
  const draft = mkdtempSync(join(location.directory, DRAFT));
  const passwordFile = join(draft, "password");
  const data = join(draft, "data");
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(passwordFile, credentials.password, { mode: 0o600 });
  for (const path of [passwordFile, data, draft]) own(path, location.serverUser);
  const flags = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"];
  const log = openLog(files.serverLog);
  const initdb = launch(binaries.initdb, [`--pgdata=${data}`, `--pwfile=${passwordFile}`, ...flags], location.serverUser, log);
  closeSync(log);
  if ((await exitOf(initdb)) !== 0) throw new EmbeddedPostgresError(`initdb failed in ${location.directory}:\n${tailOf(files.serverLog)}`);
  renameSync(data, files.data);
  rmSync(draft, { recursive: true, force: true });
}

const DRAFT = "draft-";

function checkOwner({ directory, serverUser }: Location): void {
  const { uid } = statSync(filesOf(directory).data);
  const expected = serverUser?.uid ?? process.getuid?.();
  if (expected === undefined || uid === expected) return;
  throw new EmbeddedPostgresError(`the data in ${directory} belongs to the user with id ${uid}; use another directory, or remove it`);
}

/** Undefined if the server ended before it was ready, as it does when the port or the data has just been taken. */
async function start(location: Location, binaries: Binaries, credentials: Credentials): Promise<Postmaster | undefined> {
  const files = filesOf(location.directory);
  const port = await freePort(credentials.port);
  if (port !== credentials.port) writeCredentials(files.credentials, { ...credentials, port });
  const log = openLog(files.serverLog);
  const child = launch(binaries.postgres, ["-D", files.data, ...settings(port)], location.serverUser, log);
  closeSync(log);
  let ended = false;
  const exit = exitOf(child).finally(() => {
    ended = true;
  });
  const ready = until(() => (ended ? "ended" : findReady(files.data, child.pid)), deadlineIn(READY_WITHIN_MS));
  const [postmaster] = await Promise.all([ready, Promise.race([ready, exit])]);
  if (postmaster === "ended") return undefined;
  if (postmaster !== undefined) return postmaster;
  child.kill("SIGINT");
  throw new EmbeddedPostgresError(`PostgreSQL does not get ready in ${location.directory}:\n${tailOf(files.serverLog)}`);
}

function settings(port: number): string[] {
  const values = {
    listen_addresses: "127.0.0.1",
    port,
    // No socket files: their paths are limited to some 100 bytes, and the password guards the port.
    unix_socket_directories: "",
    max_connections: 200,
    // What we promise rests on these two; said here so that no edited postgresql.conf turns them off unnoticed.
    fsync: "on",
    synchronous_commit: "on",
    shared_preload_libraries: "pg_stat_statements",
    timezone: "UTC",
    log_timezone: "UTC",
    log_checkpoints: "off",
    // The log is one file that the host keeps small.
    logging_collector: "off",
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

function describe(postmaster: Postmaster, credentials: Credentials, version: string): Cluster {
  const gone = until(() => (isAlive(postmaster.pid) ? undefined : true), deadlineIn(Number.POSITIVE_INFINITY), { everyMs: 100 }).then(
    () => undefined,
  );
  return {
    connectionString: `postgresql://postgres:${credentials.password}@127.0.0.1:${postmaster.port}/postgres`,
    version,
    gone,
    async stop() {
      signal(postmaster.pid, "SIGINT");
      const stopped = until(() => (isAlive(postmaster.pid) ? undefined : true), deadlineIn(STOPPED_WITHIN_MS));
      if ((await stopped) === true) return;
      // Without a last checkpoint: the next start replays the log, nothing is lost.
      signal(postmaster.pid, "SIGQUIT");
      await gone;
    },
  };
}

function signal(pid: number, name: NodeJS.Signals): void {
  if (isAlive(pid)) process.kill(pid, name);
}

async function versionOf(binaries: Binaries): Promise<string> {
  const child = spawn(binaries.postgres, ["--version"], { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("utf8");
  });
  const code = await exitOf(child);
  const version = /\d+(\.\d+)*/.exec(text)?.[0];
  if (version === undefined) throw new EmbeddedPostgresError(`${binaries.postgres} does not run on this machine (exit code ${code})`);
  return version;
}

function launch(program: string, args: readonly string[], user: ServerUser | undefined, log: number): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PG") && !name.startsWith("LC_"));
  return spawn(program, args, {
    // Somewhere that exists for every user.
    cwd: "/",
    env: { ...Object.fromEntries(inherited), LC_ALL: "C" },
    stdio: ["ignore", log, log],
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return code;
  } catch (cause) {
    throw new EmbeddedPostgresError(`cannot run ${child.spawnfile}`, cause);
  }
}

function own(path: string, user: ServerUser | undefined): void {
  if (user !== undefined) chownSync(path, user.uid, user.gid);
}
