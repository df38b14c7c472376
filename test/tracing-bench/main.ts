import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import type { ChildOptions } from "../bench/child.ts";
import { loadContestant } from "../bench/contestants.ts";
import { type Context, contextOf } from "../bench/context.ts";
import { drain, type Measurement } from "../bench/measure.ts";
import { dropTemplates } from "../bench/stage.ts";
import { median, ratioOf } from "../bench/statistics.ts";
import { sharedServer } from "../support/database.ts";

const USAGE = `npm run bench:tracing -- [options]
  What tracing costs the drain of no-op messages: against none, and what a collector that is away, silent or refusing adds
  to one that takes what it is sent. Pairs of runs in turns; exit 1 when the median of a comparison is below its floor.
  --count N     messages per run (50000)
  --pairs N     pairs per comparison (5)
  --only a,b    of: healthy, none-kept, away, silent, refusing
  --sampling X  share of traces that are kept (0.01)`;

/** Megabytes that a process may be larger than beside a healthy collector: what waits is bounded. */
const MORE_MB = 64;

type Collector = RequestListener | "away";

const answers: RequestListener = (request, response) => void request.resume().once("end", () => response.end());
const silent: RequestListener = (request) => void request.resume();
const refuses: RequestListener = (request, response) => void request.resume().once("end", () => response.writeHead(503).end());

interface Comparison {
  readonly what: string;
  readonly collector: Collector;
  /** Instead of the one that was asked for. */
  readonly sampling?: string;
  readonly against: "no tracing" | "a healthy collector";
  /** Least median of rate over rate. */
  readonly floor: number;
}

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  healthy: { what: "a collector that takes it", collector: answers, against: "no tracing", floor: 0.9 },
  "none-kept": { what: "no trace is kept", collector: answers, sampling: "0", against: "no tracing", floor: 0.9 },
  away: { what: "nobody listens", collector: "away", against: "a healthy collector", floor: 0.95 },
  silent: { what: "it accepts and never answers", collector: silent, against: "a healthy collector", floor: 0.95 },
  refusing: { what: "it answers 503", collector: refuses, against: "a healthy collector", floor: 0.95 },
};

const { values: given } = parseArgs({
  options: {
    count: { type: "string", default: "50000" },
    pairs: { type: "string", default: "5" },
    only: { type: "string", default: Object.keys(COMPARISONS).join(",") },
    sampling: { type: "string", default: "0.01" },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<number> {
  if (given.help) {
    console.log(USAGE);
    return 0;
  }
  const server = await sharedServer();
  const context = contextOf(server);
  let isFine = true;
  try {
    for (const name of given.only.split(",")) {
      const comparison = COMPARISONS[name];
      if (comparison === undefined) throw new Error(`--only ${name}: there are ${Object.keys(COMPARISONS).join(", ")}`);
      isFine = (await compare(context, comparison)) && isFine;
    }
  } finally {
    await dropTemplates(context);
    await server.release();
  }
  return isFine ? 0 : 1;
}

/** Prints what came out; whether it is within its bounds. */
async function compare(context: Context, comparison: Comparison): Promise<boolean> {
  const { what, collector, against, floor, sampling = given.sampling } = comparison;
  const [own, other] = [await listen(collector), await listen(answers)];
  const base = against === "no tracing" ? undefined : traced(other.url, sampling);
  const runs: (readonly [one: Measurement, reference: Measurement])[] = [];
  const load = loadavg()[0] ?? 0;
  try {
    for (let pair = 0; pair < Number(given.pairs); pair++) {
      const one = () => run(context, traced(own.url, sampling));
      const reference = () => run(context, base);
      // In turns: whoever comes second finds the machine in another state.
      const early = pair % 2 === 0 ? undefined : await reference();
      const measured = await one();
      runs.push([measured, early ?? (await reference())]);
    }
  } finally {
    own.close();
    other.close();
  }
  const rate = ratioOf(runs.map(([one, reference]) => [one.perSecond, reference.perSecond]));
  const cpu = ratioOf(runs.map(([one, reference]) => [one.cpuMs, reference.cpuMs]));
  const micros = (at: 0 | 1): string => median(runs.map((pair) => (pair[at].cpuMs * 1_000) / Number(given.count))).toFixed(1);
  const [mb, baseMb] = ([0, 1] as const).map((at) => Math.max(...runs.map((pair) => pair[at].residentMb))) as [number, number];
  const range = ({ median: middle, min, max }: typeof rate): string => `${middle.toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)})`;
  console.log(
    `${Number(sampling) * 100} % kept, ${what}, against ${against}, ${runs.length} pairs of ${given.count}:`,
    `rate ${range(rate)}, floor ${floor};`,
    `CPU ${range(cpu)}, ${micros(0)} against ${micros(1)} µs a message;`,
    `at most ${mb} against ${baseMb} MB resident;`,
    `load average ${load.toFixed(1)} on ${cpus().length} cores`,
  );
  return rate.median >= floor && (against === "no tracing" || mb <= baseMb + MORE_MB);
}

async function run(context: Context, child: ChildOptions | undefined): Promise<Measurement> {
  const [settings] = Object.values((await loadContestant("ours")).candidates);
  if (settings === undefined) throw new Error("nothing to measure");
  return await drain(context, { name: "ours", settings, count: Number(given.count), ...(child === undefined ? {} : { child }) });
}

const traced = (url: string, sampling: string): ChildOptions => ({
  env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: sampling },
  nodeFlags: ["--import=@symphony/telemetry/register"],
});

async function listen(collector: Collector): Promise<{ url: string; close(): void }> {
  const server = createServer(collector === "away" ? answers : collector);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  if (collector === "away") close();
  return { url, close };
}

process.exitCode = await main();
