import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "@symphony/core";

const LAUNCHER = fileURLToPath(new URL("../../bin/symphony", import.meta.url));
/** Milliseconds; what takes longer hangs. */
const TIMEOUT_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** A running command: the real launcher, a real process. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves when its output, both streams together, matches; rejects when it ends before. */
  saying(pattern: RegExp): Promise<RegExpExecArray>;
  readonly text: () => string;
}

export interface RunOptions {
  readonly directory: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Buffer;
}

export function start(t: TestContext, line: readonly string[], o: RunOptions): Running {
  const environment = { ...process.env, NODE_TEST_CONTEXT: undefined, DATABASE_URL: undefined, ...o.environment };
  const child = spawn(LAUNCHER, [...line], { cwd: o.directory, env: environment, stdio: ["pipe", "pipe", "pipe"] });
  const parts: Parts = { out: "", err: "", both: "", closed: false };
  const watchers = new Set<() => void>();
  const collect = (stream: "out" | "err") => (chunk: string) => {
    parts[stream] += chunk;
    parts.both += chunk;
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding("utf8").on("data", collect("out"));
  child.stderr.setEncoding("utf8").on("data", collect("err"));
  // A command that does not read its input may be gone before it is written.
  child.stdin.on("error", () => undefined).end(o.input ?? "");
  const timer = systemClock.schedule(TIMEOUT_MS, () => child.kill("SIGKILL"));
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => {
      timer.cancel();
      parts.closed = true;
      resolve({ code, signal, out: parts.out, err: parts.err });
      for (const watcher of watchers) watcher();
    });
  });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended;
  });
  return { child, ended, text: () => parts.both, saying: (pattern) => saying(pattern, parts, watchers) };
}

interface Parts {
  out: string;
  err: string;
  both: string;
  closed: boolean;
}

function saying(pattern: RegExp, parts: Parts, watchers: Set<() => void>): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const found = pattern.exec(parts.both);
      if (found === null && !parts.closed) return;
      watchers.delete(look);
      if (found === null) reject(new Error(`it ended without saying ${pattern}:\n${parts.both}`));
      else resolve(found);
    };
    watchers.add(look);
    look();
  });
}

export const run = (t: TestContext, line: readonly string[], o: RunOptions): Promise<Ended> => start(t, line, o).ended;

/** Runs with `--json` and parses what was printed. */
export async function runJson<T>(t: TestContext, line: readonly string[], o: RunOptions): Promise<T> {
  const { code, out, err } = await run(t, [...line, "--json"], o);
  if (out === "") throw new Error(`symphony ${line.join(" ")} printed nothing and exited with ${code}: ${err}`);
  return JSON.parse(out) as T;
}
