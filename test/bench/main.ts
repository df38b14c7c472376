import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Server, sharedServer } from "../support/database.ts";
import { loadContestant } from "./contestants.ts";
import { describeMachine } from "./machine.ts";
import { type Measurement, measure } from "./measure.ts";
import { type BenchResult, markdown, type Standing } from "./report.ts";
import { median, type Ratio, ratioOf } from "./statistics.ts";

const USAGE = `npm run bench -- [options]
  Drains a queue of no-op messages, ours against others on the same PostgreSQL, and prints ratios.
  --quick          10,000 messages and one pair, for CI
  --count N        messages per run (50000)
  --pairs N        pairs per comparison (5)
  --only a,b       contestants beside ours (${["pgboss", "graphile"].join(",")}); ours, threads are always named "ours", "threads"
  --no-threads     leaves out our thread mode
  --floor X        exit 1 when ours over pg-boss is below X (median)
  --prof DIR       CPU profiles of our runs, to be read with test/bench/profile.ts`;

interface BenchOptions {
  readonly count: number;
  readonly pairs: number;
  readonly others: readonly string[];
  readonly prof: string | undefined;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      count: { type: "string" },
      pairs: { type: "string" },
      only: { type: "string" },
      "no-threads": { type: "boolean", default: false },
      floor: { type: "string" },
      prof: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const others = values.only?.split(",").filter((name) => name !== "") ?? ["pgboss", "graphile"];
  const options: BenchOptions = {
    count: Number(values.count ?? (values.quick ? 10_000 : 50_000)),
    pairs: Number(values.pairs ?? (values.quick ? 1 : 5)),
    others: values["no-threads"] ? others : [...others, "threads"],
    prof: values.prof,
  };
  const server = await sharedServer();
  try {
    const result = await compete(server, options);
    console.log(markdown(result));
    console.log(`\nAll figures: ${store(result)}`);
    const ratio = result.ratios.pgboss?.median;
    if (values.floor !== undefined && (ratio === undefined || ratio < Number(values.floor))) {
      console.error(`\nours over pg-boss is ${ratio?.toFixed(2) ?? "unknown"}, below the floor of ${values.floor}`);
      return 1;
    }
    return 0;
  } finally {
    await server.release();
  }
}

async function compete(server: Server, { count, pairs, others, prof }: BenchOptions): Promise<BenchResult> {
  const names = ["ours", ...others];
  const machine = await describeMachine(server.connectionString);
  const chosen = new Map<string, Omit<Standing, "runs">>();
  for (const name of names) chosen.set(name, await choose(server, name, count));
  const runs = new Map<string, Measurement[]>(names.map((name) => [name, []]));
  const nodeFlags = prof === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${prof}`];
  for (let round = 0; round < pairs; round++) {
    // Every other round backwards: nobody always runs on a machine that the same neighbour has just warmed up.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const { settings, label } = chosen.get(name) as Omit<Standing, "runs">;
      const flags = name === "ours" || name === "threads" ? nodeFlags : [];
      runs.get(name)?.push(await attempt({ server, name, settings, count, label, nodeFlags: flags }));
    }
  }
  const standings = names.map((name) => ({ ...(chosen.get(name) as Omit<Standing, "runs">), runs: runs.get(name) ?? [] }));
  const ours = runs.get("ours") ?? [];
  const against = (theirs: readonly Measurement[]): Ratio =>
    ratioOf(ours.map((run, round) => [run.perSecond, theirs[round]?.perSecond ?? Number.NaN]));
  const ratios = Object.fromEntries(others.map((name) => [name, against(runs.get(name) ?? [])]));
  return { machine, count, pairs, at: new Date().toISOString(), standings, ratios };
}

/** Lets the documented settings of a contestant race each other once. */
async function choose(server: Server, name: string, count: number): Promise<Omit<Standing, "runs">> {
  const entries = Object.entries((await loadContestant(name)).candidates);
  const tried: Record<string, number> = {};
  for (const [label, settings] of entries) tried[label] = (await attempt({ server, name, settings, count, label })).perSecond;
  const [label, settings] = entries.reduce((best, next) => ((tried[next[0]] ?? 0) > (tried[best[0]] ?? 0) ? next : best));
  return { name, label, settings, tried };
}

async function attempt(input: Parameters<typeof measure>[0] & { label: string }): Promise<Measurement> {
  const result = await measure(input);
  console.error(`${input.name} (${input.label}): ${Math.round(result.perSecond)} messages/s`);
  // A fast queue that loses messages is not a fast queue.
  if (result.lost > 0 || result.repeated > 0)
    throw new Error(`rejected: ${input.name} (${input.label}) lost ${result.lost} and repeated ${result.repeated} messages`);
  return result;
}

function store(result: BenchResult): string {
  const directory = fileURLToPath(new URL("./results", import.meta.url));
  mkdirSync(directory, { recursive: true });
  const file = `${directory}/drain-${result.at.replaceAll(/[:.]/g, "-")}.json`;
  const medians = Object.fromEntries(result.standings.map(({ name, runs }) => [name, median(runs.map((run) => run.perSecond))]));
  writeFileSync(file, `${JSON.stringify({ ...result, medians }, null, 2)}\n`);
  return file;
}

process.exitCode = await main();
