import { spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquire } from "@symphony/embedded-postgres";
import pg from "pg";
import { EMBEDDED_DIRECTORY } from "./database.ts";

/** A PostgreSQL of one test's own, to be stopped, killed and starved as the test likes. Durable, as promised to users. */
export interface PrivateServer {
  readonly connectionString: string;
  readonly port: number;
  /** `immediate`: as after a crash, without a checkpoint. `fast`: in order. */
  stop(mode: "immediate" | "fast"): Promise<void>;
  /** Resolves when the server accepts connections. */
  start(): Promise<void>;
  restart(mode: "immediate" | "fast"): Promise<void>;
  /** Ends the server and removes its data. Idempotent. */
  close(): Promise<void>;
}

export interface PrivateServerOptions {
  /** Server settings, `{ max_connections: 30 }`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** The server asks for none; that it is in the address shows whether somebody writes addresses into a log. */
export const PASSWORD = "not-to-be-logged";

const closers = new Set<() => void>();
let hooked = false;

/** Makes a cluster in the directory for temporary files, and starts it on a free port of the loopback interface. */
export async function startPrivateServer(options: PrivateServerOptions = {}): Promise<PrivateServer> {
  const bin = await findPrograms();
  const user = process.getuid?.() === 0 ? findServerUser() : undefined;
  const root = makeRoot(user);
  const data = join(root, "data");
  const port = await freePort();
  const run = (program: string, args: readonly string[]): Promise<void> =>
    runProgram(join(bin, program), args, user, join(root, "server.log"));
  await run("initdb", [`--pgdata=${data}`, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
  const settings = { listen_addresses: "127.0.0.1", port, unix_socket_directories: "", timezone: "UTC", ...options.settings };
  const flags = Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value === "" ? "''" : value}`)
    .join(" ");
  const control = (command: string, ...args: string[]): Promise<void> =>
    run("pg_ctl", [command, "-D", data, "-w", "-t", "60", "-s", "-l", join(root, "postgres.log"), ...args]);
  const kill = killer(data);
  closers.add(kill);
  hookExit();
  const server: PrivateServer = {
    connectionString: `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`,
    port,
    stop: (mode) => control("stop", "-m", mode),
    start: () => control("start", "-o", flags),
    restart: (mode) => control("restart", "-m", mode, "-o", flags),
    async close(): Promise<void> {
      if (!closers.delete(kill)) return;
      await control("stop", "-m", "immediate").catch(() => kill());
      rmSync(root, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Where the shared server's own programs are: every PostgreSQL knows. A remote one's are not here, then the embedded one's do. */
async function findPrograms(): Promise<string> {
  const embedded = await acquire({ directory: EMBEDDED_DIRECTORY });
  const client = new pg.Client({ connectionString: embedded.connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ setting: string }>("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
    const directory = rows[0]?.setting;
    if (directory === undefined) throw new Error("the embedded PostgreSQL does not tell where its programs are");
    return directory;
  } finally {
    await client.end();
    await embedded.release();
  }
}

function findServerUser(): ServerUser {
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of ["postgres", "nobody"]) {
    const found = users.find((fields) => fields[0] === name);
    if (found !== undefined) return { uid: Number(found[2]), gid: Number(found[3]) };
  }
  throw new Error("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as");
}

function makeRoot(user: ServerUser | undefined): string {
  const root = mkdtempSync(join(realpathSync(tmpdir()), "symphony-server-"));
  chmodSync(root, 0o755);
  mkdirSync(join(root, "data"), { mode: 0o700 });
  if (user !== undefined) for (const path of [root, join(root, "data")]) chownSync(path, user.uid, user.gid);
  return root;
}

/** The output goes to a file: a server that inherited our pipe would keep it open for as long as it lives. */
function runProgram(program: string, args: readonly string[], user: ServerUser | undefined, log: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", 'exec "$@" >>"$0" 2>&1', log, program, ...args], {
      cwd: "/",
      env: { PATH: process.env.PATH, LC_ALL: "C" },
      stdio: "ignore",
      ...user,
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.join(" ")} ended with ${code ?? signal}:\n${readFileSync(log, "utf8").slice(-2_000)}`));
    });
  });
}

/** A port of the loopback interface that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** For a test process that ends without closing: nothing may be left running. */
function killer(data: string): () => void {
  return () => {
    try {
      process.kill(Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n", 1)[0]), "SIGQUIT");
    } catch {
      // It does not run.
    }
  };
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.on("exit", () => {
    for (const kill of closers) kill();
  });
}
