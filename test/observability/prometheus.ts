import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "@symphony/core/testing";

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Unix seconds and the value; one for an instant, many for a range. */
  readonly values: readonly (readonly [number, number])[];
}

/** A real Prometheus with a directory of its own; it ends with `close`. */
export class Prometheus implements AsyncDisposable {
  readonly #url: string;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(url: string, process: ChildProcess, directory: string) {
    this.#url = url;
    this.#process = process;
    this.#directory = directory;
  }

  /** @param targets - `host:port` of what it scrapes, once a second. */
  static async start(targets: readonly string[]): Promise<Prometheus> {
    const directory = mkdtempSync(join(tmpdir(), "symphony-prometheus-"));
    const config = join(directory, "prometheus.yml");
    const scrape = `  - job_name: symphony\n    static_configs:\n      - targets: ${JSON.stringify(targets)}\n`;
    writeFileSync(config, `global:\n  scrape_interval: 1s\nscrape_configs:\n${scrape}`);
    const port = await freePort();
    const args = [`--config.file=${config}`, `--storage.tsdb.path=${join(directory, "data")}`, `--web.listen-address=127.0.0.1:${port}`];
    const process = spawn("prometheus", [...args, "--log.level=error"], { stdio: ["ignore", "inherit", "inherit"] });
    const failed = new Promise<never>((_, reject) => process.once("error", reject));
    const prometheus = new Prometheus(`http://127.0.0.1:${port}`, process, directory);
    const ready = waitFor(async () => (await prometheus.#ask("/-/ready").catch(() => undefined))?.ok, {
      what: "Prometheus",
      timeoutMs: 30_000,
    });
    await Promise.race([ready, failed]);
    return prometheus;
  }

  /** @throws {Error} when Prometheus does not take the query. */
  async instant(expr: string): Promise<readonly Series[]> {
    const { result } = await this.#query("query", { query: expr });
    return result.map(({ metric, value }) => ({ metric, values: value === undefined ? [] : [number(value)] }));
  }

  async range(expr: string, seconds: number): Promise<readonly Series[]> {
    const end = Math.floor(Date.now() / 1_000);
    const { result } = await this.#query("query_range", { query: expr, start: String(end - seconds), end: String(end), step: "1" });
    return result.map(({ metric, values = [] }) => ({ metric, values: values.map(number) }));
  }

  /** The sum over all series, 0 without any. */
  async sum(expr: string): Promise<number> {
    return (await this.instant(`sum(${expr})`))[0]?.values[0]?.[1] ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #query(path: string, parameters: Readonly<Record<string, string>>): Promise<{ readonly result: readonly RawSeries[] }> {
    const response = await this.#ask(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = (await response.json()) as { status: string; error?: string; data: { result: readonly RawSeries[] } };
    if (body.status !== "success") throw new Error(`${parameters.query}: ${body.error}`);
    return body.data;
  }

  #ask(path: string): Promise<Response> {
    return fetch(this.#url + path, { signal: AbortSignal.timeout(10_000) });
  }
}

type RawValue = readonly [number, string];

interface RawSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: RawValue;
  readonly values?: readonly RawValue[];
}

const number = ([at, value]: RawValue): readonly [number, number] => [at, Number(value)];

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
