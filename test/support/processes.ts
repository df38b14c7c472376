import { type ChildProcess, spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../bin/symphony", import.meta.resolve("@symphony/cli")));
/** Lines of a process that are quoted when something it should have done did not happen. */
const QUOTED = 30;

export interface Line {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** The line as JSON, for logs. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly pid: number;
  readonly lines: readonly Line[];
  /**
   * Resolves with the first line, past or future, that matches.
   *
   * @throws {Error} after `timeoutMs` (default 20000), or when the process ends without saying it; with its last lines.
   */
  waitForLine(matches: string | RegExp | ((line: Line) => boolean), timeoutMs?: number): Promise<Line>;
  signal(signal: NodeJS.Signals): void;
  /** The process and all that it started. */
  signalGroup(signal: NodeJS.Signals): void;
  readonly exited: boolean;
  /** @throws {Error} when it still runs after `withinMs`; with its last lines. */
  waitForExit(withinMs: number): Promise<Exit & { readonly afterMs: number }>;
  /** Writes to its standard input and closes that. */
  input(text: string): void;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string;
  /** File of a cgroup that the process joins before it begins. */
  readonly cgroup?: string;
}

export interface Result extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts processes and sees to it that none outlives the test. */
export class Processes {
  readonly #running = new Set<Tracked>();
  readonly #all: Tracked[] = [];

  constructor() {
    // A test that is ended from outside does not reach its hooks.
    process.once("exit", this.#killAll);
  }

  /** `symphony` with these words, in a process group of its own. */
  symphony(args: readonly string[], options: StartOptions = {}): RunningProcess {
    return this.start(PROGRAM, args, options);
  }

  start(program: string, args: readonly string[], { env = {}, cwd, input, cgroup }: StartOptions = {}): RunningProcess {
    const line = cgroup === undefined ? [program, ...args] : ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', cgroup, program, ...args];
    const child = spawn(line[0] ?? program, line.slice(1), {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      // A process group: what it starts can be ended with it.
      detached: true,
    });
    const tracked = new Tracked(child);
    this.#running.add(tracked);
    this.#all.push(tracked);
    child.once("close", () => this.#running.delete(tracked));
    tracked.input(input ?? "");
    return tracked;
  }

  /** What each process has said so far. */
  logs(): readonly { readonly pid: number; readonly text: string }[] {
    return this.#all.map(({ pid, lines }) => ({ pid, text: `${lines.map((line) => line.text).join("\n")}\n` }));
  }

  /** Runs `symphony` to its end. */
  async run(args: readonly string[], options: StartOptions & { readonly withinMs?: number } = {}): Promise<Result> {
    const running = this.symphony(args, options);
    const { code, signal } = await running.waitForExit(options.withinMs ?? 60_000);
    const textOf = (stream: Line["stream"]): string =>
      running.lines.flatMap((line) => (line.stream === stream ? [line.text] : [])).join("\n");
    return { code, signal, stdout: textOf("stdout"), stderr: textOf("stderr") };
  }

  /** Kills what still runs; resolves when nothing of it is left. */
  async end(): Promise<void> {
    const left = [...this.#running];
    this.#killAll();
    await Promise.all(left.map((running) => running.waitForExit(10_000)));
    process.off("exit", this.#killAll);
  }

  readonly #killAll = (): void => {
    for (const running of this.#running) running.signalGroup("SIGKILL");
  };
}

class Tracked implements RunningProcess {
  readonly pid: number;
  readonly lines: Line[] = [];
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  readonly #done = Promise.withResolvers<Exit>();
  #exit: Exit | undefined;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? -1;
    for (const stream of ["stdout", "stderr"] as const) {
      const source = child[stream];
      if (source === null) continue;
      createInterface({ input: source }).on("line", (text) => {
        this.lines.push({ stream, text, json: parse(text) });
        this.#notify();
      });
    }
    child.once("error", (error) => {
      this.lines.push({ stream: "stderr", text: String(error), json: undefined });
      this.#end({ code: null, signal: null });
    });
    // "close", not "exit": its last lines are read by then.
    child.once("close", (code, signal) => this.#end({ code, signal }));
  }

  get exited(): boolean {
    return this.#exit !== undefined;
  }

  async waitForLine(matches: string | RegExp | ((line: Line) => boolean), timeoutMs = 20_000): Promise<Line> {
    const test = typeof matches === "function" ? matches : matcher(matches);
    const found = Promise.withResolvers<Line>();
    let at = 0;
    const look = (): void => {
      for (; at < this.lines.length; at++) {
        const line = this.lines[at] as Line;
        if (test(line)) found.resolve(line);
      }
      if (this.#exit !== undefined) found.reject(new Error(this.#complaint(`ended without the line ${String(matches)}`)));
    };
    this.#watchers.add(look);
    const timer = setTimeout(
      () => found.reject(new Error(this.#complaint(`no line ${String(matches)} within ${timeoutMs} ms`))),
      timeoutMs,
    );
    look();
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) process.kill(this.pid, signal);
  }

  signalGroup(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // Nobody of it is left.
    }
  }

  async waitForExit(withinMs: number): Promise<Exit & { readonly afterMs: number }> {
    const startedAt = performance.now();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(this.#complaint(`still running after ${withinMs} ms`))), withinMs);
    try {
      const exit = await Promise.race([this.#done.promise, late.promise]);
      return { ...exit, afterMs: performance.now() - startedAt };
    } finally {
      clearTimeout(timer);
    }
  }

  input(text: string): void {
    // It may have ended, or closed its input, before it read all.
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stdin?.end(text);
  }

  #end(exit: Exit): void {
    this.#exit = exit;
    this.#done.resolve(exit);
    this.#notify();
  }

  #notify(): void {
    for (const look of this.#watchers) look();
  }

  #complaint(what: string): string {
    const last = this.lines.slice(-QUOTED).map((line) => line.text);
    return `process ${this.pid} (${this.#child.spawnargs.slice(1).join(" ")}): ${what}; its last lines:\n${last.join("\n")}`;
  }
}

function matcher(pattern: string | RegExp): (line: Line) => boolean {
  return typeof pattern === "string" ? ({ text }) => text.includes(pattern) : ({ text }) => pattern.test(text);
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
