import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { waitFor } from "@symphony/core/testing";
import type { Database } from "../support/database.ts";
import type { Processes, RunningProcess } from "../support/processes.ts";

export const CONFIG = fileURLToPath(new URL("../fixtures/symphony.config.ts", import.meta.url));

export interface FleetOptions {
  readonly processes?: number;
  readonly threads?: number;
  readonly concurrency?: number;
  /** Seconds. */
  readonly shutdownTimeout?: number;
  readonly queues?: readonly string[];
  readonly execution?: "inline" | "thread";
  /** Address of the database, when it is reached through something. */
  readonly dsn?: string;
  readonly transport?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** Absolute path of another configuration module. */
  readonly config?: string;
  /** File of a cgroup that it joins. */
  readonly cgroup?: string;
  /** Do not wait until all worker processes are ready. */
  readonly unready?: boolean;
}

/** `symphony consume` with its worker processes, as a container would run it. */
export class Fleet {
  readonly program: RunningProcess;
  readonly wanted: number;
  readonly #database: Database;
  healthPort = 0;

  private constructor(program: RunningProcess, wanted: number, database: Database) {
    this.program = program;
    this.wanted = wanted;
    this.#database = database;
  }

  static async start(processes: Processes, database: Database, journal: string, o: FleetOptions): Promise<Fleet> {
    const wanted = o.processes ?? 2;
    const flags = {
      processes: wanted,
      threads: o.threads ?? 2,
      concurrency: o.concurrency ?? 10,
      "shutdown-timeout": o.shutdownTimeout ?? 10,
      "health-port": 0,
      ...(o.queues === undefined ? {} : { queues: o.queues.join(",") }),
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const program = processes.symphony(["consume", "--json", "--config", o.config ?? CONFIG, ...args, ...(o.flags ?? [])], {
      env: {
        SYMPHONY_TEST_DSN: o.dsn ?? database.connectionString,
        SYMPHONY_TEST_JOURNAL: journal,
        SYMPHONY_TEST_EXECUTION: o.execution ?? "thread",
        SYMPHONY_TEST_TRANSPORT_OPTIONS: JSON.stringify(o.transport ?? {}),
        ...o.env,
      },
      ...(o.cgroup === undefined ? {} : { cgroup: o.cgroup }),
    });
    const fleet = new Fleet(program, wanted, database);
    if (o.unready === true) return fleet;
    await fleet.started();
    await fleet.ready();
    return fleet;
  }

  /** Its probes can be asked from here on. */
  async started(): Promise<void> {
    const line = await this.program.waitForLine("fleet starting", 30_000);
    this.healthPort = Number(line.json?.health_port ?? 0);
  }

  get supervisor(): number {
    return this.program.pid;
  }

  /** The worker processes that live now, without the isolation lane's. */
  workers(): number[] {
    return childrenOf(this.supervisor).filter((pid) => isWorker(pid, false));
  }

  lane(): number | undefined {
    return childrenOf(this.supervisor).find((pid) => isWorker(pid, true));
  }

  async probe(path: string): Promise<{ readonly status: number; readonly text: string }> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.healthPort}${path}`, { signal: AbortSignal.timeout(2_000) });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }

  /** How many worker processes receive, by the fleet's own word. */
  async countReady(): Promise<number> {
    return Number(/(\d+) of \d+ ready/.exec((await this.probe("/readyz?verbose")).text)?.[1] ?? 0);
  }

  async ready(timeoutMs = 30_000): Promise<void> {
    try {
      await waitFor(async () => (await this.countReady()) >= this.wanted, { timeoutMs, intervalMs: 25, what: "a ready fleet" });
    } catch (error) {
      const said = this.program.lines.slice(-15).map(({ text }) => text);
      throw new Error(`${(error as Error).message}; ${(await this.probe("/readyz?verbose")).text}; its last lines:\n${said.join("\n")}`);
    }
  }

  /** Stops it in order; the exit code and how long it took. */
  async stop(withinMs = 30_000): Promise<{ readonly code: number | null; readonly afterMs: number }> {
    if (this.program.exited) return { code: null, afterMs: 0 };
    const exit = this.program.waitForExit(withinMs);
    this.program.signal("SIGTERM");
    return exit;
  }

  /** Names under which these processes hold messages. */
  async workerIds(pids: readonly number[]): Promise<string[]> {
    const rows = await this.#database.query<{ id: string }>("SELECT worker_id AS id FROM symphony.messenger_worker WHERE pid = ANY($1)", [
      pids,
    ]);
    return rows.map(({ id }) => id);
  }

  logged(pattern: RegExp): number {
    return this.program.lines.filter(({ text }) => pattern.test(text)).length;
  }
}

function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

/** Neither gone nor a zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function isWorker(pid: number, lane: boolean): boolean {
  try {
    if (!isAlive(pid) || !readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("child-main")) return false;
    return readFileSync(`/proc/${pid}/environ`, "utf8").includes("SYMPHONY_CHILD_LANE=1") === lane;
  } catch {
    // It has ended since it was listed.
    return false;
  }
}

/** CPU seconds that a process has used. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
