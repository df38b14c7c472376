import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { loadContestant } from "../bench/contestants.ts";
import { type Context, contextOf } from "../bench/context.ts";
import { drain } from "../bench/measure.ts";
import { dropTemplates } from "../bench/stage.ts";
import { median } from "../bench/statistics.ts";
import { sharedServer } from "../support/database.ts";

interface Variant {
  readonly name: string;
  /** Least share of the rate without telemetry. */
  readonly floor: number;
  readonly sampling: string;
  readonly collector: RequestListener | "refusing";
}

const answering: RequestListener = (request, response) => void request.resume().once("end", () => response.end());
/** Takes the request and never says anything. */
const hanging: RequestListener = (request) => void request.resume();
const failing: RequestListener = (request, response) => void request.resume().once("end", () => response.writeHead(503).end());

const VARIANTS: readonly Variant[] = [
  { name: "1 % sampled, a collector that takes it", floor: 0.9, sampling: "0.01", collector: answering },
  { name: "1 % sampled, nobody listens", floor: 0.9, sampling: "0.01", collector: "refusing" },
  { name: "1 % sampled, a collector that never answers", floor: 0.9, sampling: "0.01", collector: hanging },
  { name: "1 % sampled, a collector that answers 503", floor: 0.9, sampling: "0.01", collector: failing },
];

/**
 * What tracing costs the drain, and what a collector that does not do its work adds: ratios of drains one after the other,
 * against one without telemetry.
 */
export async function measureCost(o: {
  readonly count: number;
  readonly pairs: number;
}): Promise<{ lines: readonly string[]; isFine: boolean }> {
  const server = await sharedServer();
  const context = contextOf(server);
  try {
    const lines: string[] = [];
    let healthy = 1;
    let isFine = true;
    for (const variant of VARIANTS) {
      const { ratio, cpu, residentMb } = await compare(context, variant, o);
      // A collector in trouble is measured against one that works.
      const against = variant.collector === answering ? 1 : healthy;
      if (variant.collector === answering) healthy = ratio;
      const floor = variant.collector === answering ? variant.floor : 0.95 * against;
      isFine &&= ratio >= floor;
      const share = `${ratio.toFixed(2)} of the rate without telemetry (floor ${floor.toFixed(2)})`;
      lines.push(`${variant.name}: ${share}, ${cpu.toFixed(2)} of the CPU time, ${residentMb} MB resident`);
    }
    return { lines, isFine };
  } finally {
    await dropTemplates(context);
    await server.release();
  }
}

async function compare(
  context: Context,
  variant: Variant,
  o: { count: number; pairs: number },
): Promise<{ ratio: number; cpu: number; residentMb: number }> {
  const [settings] = Object.values((await loadContestant("ours")).candidates);
  if (settings === undefined) throw new Error("nothing to measure");
  const collector = await listen(variant.collector);
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: variant.sampling,
  };
  const order = { name: "ours", settings, count: o.count };
  const child = { env, nodeFlags: ["--import=@symphony/telemetry/register"] };
  const ratios: number[] = [];
  const cpu: number[] = [];
  let residentMb = 0;
  try {
    for (let pair = 0; pair < o.pairs; pair++) {
      const off = () => drain(context, order);
      const on = () => drain(context, { ...order, child });
      // In turns: whoever comes second finds the machine in another state.
      const [first, second] = pair % 2 === 0 ? [await off(), await on()] : [await on(), await off()];
      const [without, traced] = pair % 2 === 0 ? [first, second] : [second, first];
      ratios.push(traced.perSecond / without.perSecond);
      cpu.push(traced.cpuMs / without.cpuMs);
      residentMb = Math.max(residentMb, traced.residentMb);
    }
  } finally {
    collector.close();
  }
  return { ratio: median(ratios), cpu: median(cpu), residentMb };
}

async function listen(how: RequestListener | "refusing"): Promise<{ url: string; close(): void }> {
  const server = createServer(how === "refusing" ? answering : how);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  if (how === "refusing") close();
  return { url, close };
}
