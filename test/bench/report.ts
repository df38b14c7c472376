import type { Settings } from "./contestant.ts";
import type { Machine } from "./machine.ts";
import type { Measurement } from "./measure.ts";
import { median, type Ratio } from "./statistics.ts";

/** One contestant's figures over all rounds, and the settings it ran with. */
export interface Standing {
  readonly name: string;
  readonly label: string;
  readonly settings: Settings;
  readonly runs: readonly Measurement[];
  /** Every candidate's figure from the round that chose one, messages a second. */
  readonly tried: Readonly<Record<string, number>>;
}

export interface BenchResult {
  readonly machine: Machine;
  readonly count: number;
  readonly pairs: number;
  readonly at: string;
  readonly standings: readonly Standing[];
  /** Ours over each other one. */
  readonly ratios: Readonly<Record<string, Ratio>>;
}

const NAMES: Readonly<Record<string, string>> = {
  ours: "Symphony Messenger, inline",
  threads: "Symphony Messenger, threads",
  pgboss: "pg-boss work()",
  graphile: "graphile-worker",
};

/** The result for people: ratios first, because only they travel from one machine to another. */
export function markdown(result: BenchResult): string {
  const { machine, count, pairs } = result;
  const settings = Object.entries(machine.settings).map(([name, value]) => `${name}=${value}`);
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `## Drain of ${count} no-op messages, one process, ${pairs} pair${pairs === 1 ? "" : "s"}`,
    "",
    "| against | ours is faster by (median) | min | max |",
    "|---|---|---|---|",
    ...Object.entries(result.ratios).map(([name, ratio]) => `| ${NAMES[name] ?? name} | ${ratioRow(ratio)} |`),
    "",
    "| contestant | settings | messages/s (median) | CPU per message: process | server | resident |",
    "|---|---|---|---|---|---|",
    ...result.standings.map((standing) => standingRow(standing, count)),
    "",
    "Nothing was lost or repeated in any run: runs that lose or repeat are rejected.",
    "",
    `${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, ${machine.system}, load average before ${machine.loadAverage}.`,
    `Node ${machine.node}, PostgreSQL ${machine.postgres} (${settings.join(", ")}), ${versions.join(", ")}.`,
    "Messages a second are of this machine only; compare ratios.",
  ].join("\n");
}

const ratioRow = ({ median, min, max }: Ratio): string => [median, min, max].map((value) => `${value.toFixed(2)} ×`).join(" | ");

function standingRow({ name, label, runs }: Standing, count: number): string {
  const perSecond = median(runs.map((run) => run.perSecond));
  const cpuUs = median(runs.map((run) => (run.cpuMs / count) * 1_000));
  const serverUs = runs.flatMap((run) => (run.serverCpuMs === undefined ? [] : [(run.serverCpuMs / count) * 1_000]));
  const server = serverUs.length === 0 ? "unknown" : `${median(serverUs).toFixed(1)} µs`;
  const residentMb = median(runs.map((run) => run.residentMb));
  return `| ${NAMES[name] ?? name} | ${label} | ${Math.round(perSecond)} | ${cpuUs.toFixed(1)} µs | ${server} | ${residentMb} MB |`;
}
