import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "../support/private-server.ts";

export interface RedisServer {
  readonly url: string;
  readonly pid: number;
  readonly version: string;
  /** What it was started with, for the report. */
  readonly settings: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Durable to a second, as the documentation of BullMQ asks for; no snapshots beside it. */
const SETTINGS = { appendonly: "yes", appendfsync: "everysec", save: "" } as const;

/** Starts Debian's redis-server in a directory of its own, installing it first where that can be done; else says why not. */
export async function startRedis(): Promise<RedisServer | { readonly unavailable: string }> {
  const missing = installed() ? undefined : install();
  if (missing !== undefined) return { unavailable: missing };
  const directory = mkdtempSync(join(tmpdir(), "symphony-redis-"));
  const port = await freePort();
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, ...settings], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const kill = (): void => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", kill);
  await listening(child);
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid ?? -1,
    version: /v=(\S+)/.exec(execFileSync("redis-server", ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown",
    settings: SETTINGS,
    async close() {
      process.off("exit", kill);
      const ended = new Promise((resolve) => child.once("exit", resolve));
      kill();
      await ended;
    },
  };
}

function installed(): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The package must not start a server of its own: `RUNLEVEL` keeps it from that. */
function install(): string | undefined {
  if (process.getuid?.() !== 0) return "redis-server is not installed, and only root on Debian can do that here";
  const apt = (timeout: number, ...args: string[]): void => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
    execFileSync("apt-get", ["-qq", ...args], { stdio: "ignore", timeout, env });
  };
  try {
    apt(60_000, "update");
    apt(180_000, "install", "-y", "--no-install-recommends", "redis-server");
  } catch {
    return "redis-server cannot be installed: this system's package sources do not offer it, or cannot be reached";
  }
  return installed() ? undefined : "redis-server was installed and cannot be run";
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}`)));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.includes("Ready to accept connections")) resolve();
    });
  });
}
