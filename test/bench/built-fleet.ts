import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { waitFor } from "@symphony/core/testing";
import type { Processes, RunningProcess } from "../support/processes.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CONFIG = fileURLToPath(new URL("./fleet.config.mjs", import.meta.url));

let built = false;

/** `symphony consume` from the built packages, as it is installed: the sources take more memory, to be compiled in each thread. */
export class BuiltFleet {
  readonly #program: RunningProcess;

  private constructor(program: RunningProcess) {
    this.#program = program;
  }

  static async start(processes: Processes, dsn: string, flags: Readonly<Record<string, string | number>>): Promise<BuiltFleet> {
    build();
    const args = Object.entries({ "health-port": 0, ...flags }).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const line = ["--enable-source-maps", `${ROOT}packages/cli/dist/main.js`, "consume", "--json", "--config", CONFIG, ...args];
    const program = processes.start(process.execPath, line, { env: { SYMPHONY_BENCH_DSN: dsn } });
    const started = await program.waitForLine("fleet starting", 60_000);
    const url = `http://127.0.0.1:${started.json?.health_port}/readyz`;
    const isReady = async (): Promise<boolean> => (await fetch(url).catch(() => undefined))?.status === 200;
    await waitFor(isReady, { what: "a ready fleet", timeoutMs: 60_000, intervalMs: 50 });
    return new BuiltFleet(program);
  }

  /** Its worker processes. */
  workers(): number[] {
    const children = readFileSync(`/proc/${this.#program.pid}/task/${this.#program.pid}/children`, "utf8").trim().split(" ");
    return children.map(Number).filter((pid) => pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("child-main"));
  }

  async stop(): Promise<void> {
    this.#program.signal("SIGTERM");
    await this.#program.waitForExit(30_000);
  }
}

function build(): void {
  if (built) return;
  execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });
  built = true;
}
