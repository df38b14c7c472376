import { spawn } from "node:child_process";
import { once } from "node:events";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Another process that holds a claim. */
export interface Holder {
  readonly connectionString: string;
  readonly version: string;
  /** Resolves when the process has ended. */
  readonly exited: Promise<void>;
  /** As if the machine had pulled its plug. */
  kill(): Promise<void>;
  /** Releases properly and ends. */
  release(): Promise<void>;
}

export interface HolderOptions {
  readonly lingerMs?: number;
  /** Runs as the user with this id; needs root. */
  readonly uid?: number;
  /** Whether the process has a reason, beside its claim, to live on. Default true. */
  readonly keepOpen?: boolean;
  readonly program?: string;
}

const PROGRAM = fileURLToPath(new URL(`./claim-holder${extname(import.meta.url)}`, import.meta.url));

export async function startHolder(directory: string, options: HolderOptions = {}): Promise<Holder> {
  const { lingerMs = 0, uid, keepOpen = true, program = PROGRAM } = options;
  const child = spawn(process.execPath, [program, directory, String(lingerMs), String(keepOpen)], {
    cwd: "/",
    stdio: "pipe",
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaints += chunk.toString("utf8");
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = await lines.next();
  if (line.done === true) throw new Error(`the holder ended without a server: ${complaints}`);
  const { connectionString, version } = JSON.parse(line.value) as { connectionString: string; version: string };
  const exited = child.exitCode === null ? once(child, "exit").then(() => undefined) : Promise.resolve();
  const end = async (how: () => void): Promise<void> => {
    how();
    await exited;
  };
  return {
    connectionString,
    version,
    exited,
    kill: () => end(() => child.kill("SIGKILL")),
    release: () => end(() => child.stdin.end()),
  };
}
