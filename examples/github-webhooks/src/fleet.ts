import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Clock, systemClock } from "@symphony/core";
import { wait } from "./wait.ts";

export interface FleetOptions {
  /** Ends it like `stop`, at once. */
  readonly signal: AbortSignal;
  /** Added to this process's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Each line that it writes. */
  readonly onLog: (line: string) => void;
  /** It ended without having been asked, and is started again. */
  readonly onRestart: (how: string) => void;
  readonly clock?: Clock;
}

export interface Fleet {
  /** Times that it ended without having been asked. */
  readonly losses: number;
  /** SIGKILL for all of it at once, as when a machine is gone: nobody is left to hand anything back. It is started again. */
  kill(): void;
  /** Lets it finish what is in flight, ends it by force after `withinMs`. Idempotent. */
  stop(withinMs?: number): Promise<void>;
  /** Rejects when the worker cannot be kept running; does not resolve before `stop`. */
  readonly ended: Promise<void>;
}

/** The command that `npx symphony` runs. It lies beside the package's entry point. */
const SYMPHONY = fileURLToPath(new URL("../bin/symphony", import.meta.resolve("@symphony/cli")));
const CONFIG = fileURLToPath(new URL("../symphony.config.ts", import.meta.url));
const RESTART_PAUSE_MS = 500;
/** Milliseconds; who dies younger than this, five times in a row, dies of something that starting again does not cure. */
const YOUNG_MS = 5_000;
const MOST_YOUNG_DEATHS = 5;
/** Exit codes of `symphony` for a wrong command line, a wrong configuration, a database of another version. */
const HOPELESS: readonly string[] = [2, 64, 78].map(exitCode);
const LINES_KEPT = 40;

/**
 * Runs `symphony consume` in a process of its own and keeps it running. This file is all that the example knows of how
 * the consuming side is run; elsewhere, systemd or a container does the same.
 */
export function startFleet(options: FleetOptions): Fleet {
  return new WorkerProcess(options);
}

/** The fleet that somebody else runs, who alone knows whether it was ever lost. */
export function externalFleet(): Fleet {
  return { losses: 0, kill: () => undefined, stop: async () => undefined, ended: new Promise(() => undefined) };
}

class WorkerProcess implements Fleet {
  readonly ended: Promise<void>;
  readonly #o: FleetOptions;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  readonly #lastLines: string[] = [];
  #child: ChildProcess | undefined;
  #losses = 0;

  constructor(options: FleetOptions) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
    if (options.signal.aborted) this.#stopping.abort();
    this.ended = this.#keepRunning();
    // Whoever waits for it hears of it; until then it must not count as unhandled.
    this.ended.catch(() => undefined);
    options.signal.addEventListener("abort", () => void this.stop(), { once: true });
  }

  get losses(): number {
    return this.#losses;
  }

  kill(): void {
    const { pid, exitCode, signalCode } = this.#child ?? {};
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      // The group: supervisor and worker processes.
      process.kill(-pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async stop(withinMs = 15_000): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill("SIGTERM");
    const force = this.#clock.schedule(withinMs, () => this.kill());
    await this.ended.catch(() => undefined);
    force.cancel();
  }

  async #keepRunning(): Promise<void> {
    let youngDeaths = 0;
    while (!this.#stopping.signal.aborted) {
      const startedAt = this.#clock.monotonic();
      const how = await this.#runOnce();
      if (this.#stopping.signal.aborted) return;
      this.#losses += 1;
      youngDeaths = this.#clock.monotonic() - startedAt < YOUNG_MS ? youngDeaths + 1 : 0;
      if (youngDeaths >= MOST_YOUNG_DEATHS || HOPELESS.includes(how))
        throw new Error(`the worker ends as soon as it starts (${how}):\n${this.#lastLines.join("\n")}`);
      this.#o.onRestart(how);
      await wait(RESTART_PAUSE_MS, this.#stopping.signal, this.#clock);
    }
  }

  async #runOnce(): Promise<string> {
    const child = spawn(SYMPHONY, ["consume", "--health-port", "0", "--config", CONFIG], {
      env: { ...process.env, ...this.#o.environment },
      // A group of its own: Ctrl-C is for us, who pass it on once. The channel tells it when we are gone.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) this.#readLines(stream);
    return new Promise((resolve) => {
      child.on("error", (error) => resolve(`it could not be started: ${error.message}`));
      child.on("close", (code, signal) => resolve(signal ?? exitCode(code ?? 0)));
    });
  }

  #readLines(stream: NodeJS.ReadableStream | null): void {
    let rest = "";
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.#o.onLog(line);
        this.#lastLines.push(line);
        if (this.#lastLines.length > LINES_KEPT) this.#lastLines.shift();
      }
    });
  }
}

function exitCode(code: number): string {
  return `exit code ${code}`;
}
