import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { extname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Attachment, attach } from "./attachment.ts";
import { EmbeddedPostgresError } from "./errors.ts";
import { DEFAULT_DIRECTORY, filesOf, type Location, locate } from "./location.ts";
import { openLog, tailOf } from "./log-file.ts";
import { readHostRecord } from "./protocol.ts";
import { type Deadline, deadlineIn, until } from "./timing.ts";

export interface AcquireOptions {
  /** Holds data, password and logs; made if need be. Default `.symphony/postgres` below the working directory. */
  readonly directory?: string;
  /** Milliseconds for which the server stays when this client was the last to leave. At least 0. Default 2000. */
  readonly lingerMs?: number;
  /** Milliseconds within which the server must be usable. Default 60000: a slow disk initialises in ten. */
  readonly timeoutMs?: number;
}

export interface EmbeddedPostgres {
  /** For the superuser `postgres` and the database `postgres`; other databases by changing the path. */
  readonly connectionString: string;
  /** Of the server, `18.4`. */
  readonly version: string;
  /** Gives up this client's claim. Idempotent. Close connections first: the last claim given up stops the server. */
  release(): Promise<void>;
}

const DEFAULTS = { directory: DEFAULT_DIRECTORY, lingerMs: 2_000, timeoutMs: 60_000 };

/**
 * A running PostgreSQL for `options.directory`, shared by every process of this user that asks for the same directory.
 *
 * The first one starts it, in a process of its own; the last one's release, exit or death, SIGKILL included, stops it
 * after `lingerMs`. No claim keeps the calling process alive. Commits are durable (`fsync` and `synchronous_commit` are
 * on) and data is kept from run to run, on the same port and with the same password where the port is still free. If
 * the server or its host is killed while claims are held, it is started again, on that port. Whatever a crash left
 * behind is put right. As root, PostgreSQL runs as the user `postgres`, or `nobody`; see `locate` for the directory.
 *
 * @throws {EmbeddedPostgresError} it could not be started; the message quotes its log.
 * @example
 * const postgres = await acquire();
 * const client = new pg.Client({ connectionString: postgres.connectionString });
 */
export async function acquire(options: AcquireOptions = {}): Promise<EmbeddedPostgres> {
  const { directory, lingerMs, timeoutMs } = parse(options);
  const location = locate(directory);
  const claim = new Claim(location, lingerMs);
  await claim.hold(deadlineIn(timeoutMs));
  return claim;
}

class Claim implements EmbeddedPostgres {
  readonly #location: Location;
  readonly #lingerMs: number;
  #attachment: Attachment | undefined;
  #released = false;
  connectionString = "";
  version = "";

  constructor(location: Location, lingerMs: number) {
    this.#location = location;
    this.#lingerMs = lingerMs;
  }

  /** Attaches to the host, starting one if there is none; and again whenever it goes, until released. */
  async hold(deadline: Deadline, background = false): Promise<void> {
    const attachment = await attachOrStart(this.#location, this.#lingerMs, deadline, background);
    const { socket, answer, closed } = attachment;
    if (answer.kind === "failed") {
      socket.destroy();
      throw new EmbeddedPostgresError(answer.reason);
    }
    socket.unref();
    if (this.#released) {
      socket.destroy();
      return;
    }
    this.#attachment = attachment;
    this.connectionString = answer.connectionString;
    this.version = answer.version;
    void closed.then(() => this.#holdAgain());
  }

  async release(): Promise<void> {
    this.#released = true;
    this.#attachment?.socket.destroy();
    await this.#attachment?.closed;
  }

  async #holdAgain(): Promise<void> {
    if (this.#released) return;
    try {
      await this.hold(deadlineIn(DEFAULTS.timeoutMs), true);
    } catch (error) {
      // Nobody awaits this; the user's own connections to the server fail as well and say so where it matters.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

async function attachOrStart(location: Location, lingerMs: number, deadline: Deadline, background: boolean): Promise<Attachment> {
  const files = filesOf(location.directory);
  let candidate: ChildProcess | undefined;
  const attachment = await until(
    async () => {
      const record = readHostRecord(files.host);
      const found = record === undefined ? undefined : await attach(record, { lingerMs, withinMs: deadline.leftMs, background });
      if (found !== undefined) return found;
      if (candidate === undefined) {
        candidate = spawnHost(location);
      } else if (candidate.exitCode === 0 || candidate.signalCode !== null) {
        // Not needed, since another one answers by now; or killed.
        candidate = undefined;
      } else if (candidate.exitCode !== null) {
        throw new EmbeddedPostgresError(`PostgreSQL's host process ended:\n${tailOf(files.hostLog)}`);
      }
      return undefined;
    },
    deadline,
    { unref: background },
  );
  if (attachment === undefined)
    throw new EmbeddedPostgresError(`no PostgreSQL in ${location.directory} in time:\n${tailOf(files.hostLog)}`);
  return attachment;
}

function spawnHost(location: Location): ChildProcess {
  const log = openLog(filesOf(location.directory).hostLog);
  // From sources and from the build alike: the program beside this file has this file's extension.
  const program = fileURLToPath(new URL(`./host-main${extname(import.meta.url)}`, import.meta.url));
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, location.directory], {
    // A session of its own: Ctrl-C in the terminal is for the clients.
    detached: true,
    cwd: location.directory,
    // What is meant for this process (inspector, coverage, a preloaded script) is not meant for the host.
    env: { ...process.env, NODE_OPTIONS: undefined, NODE_V8_COVERAGE: undefined, NODE_TEST_CONTEXT: undefined },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  child.on("error", (error) => process.emitWarning(error));
  child.unref();
  return child;
}

function parse(options: AcquireOptions): Required<AcquireOptions> {
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(DEFAULTS, key)) throw new TypeError(`${key} is not an option; known: ${Object.keys(DEFAULTS).join(", ")}`);
  }
  const parsed = { ...DEFAULTS, ...options };
  if (!(parsed.lingerMs >= 0)) throw new TypeError(`lingerMs must be a number of at least 0, got ${parsed.lingerMs}`);
  if (!(parsed.timeoutMs > 0)) throw new TypeError(`timeoutMs must be a number above 0, got ${parsed.timeoutMs}`);
  return { ...parsed, directory: resolve(parsed.directory) };
}
