import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { sharedServer } from "../support/database.ts";
import { CONTESTANTS } from "./contestants.ts";
import type { Context } from "./context.ts";
import { writeDocs } from "./docs.ts";
import { describeMachine } from "./machine.ts";
import { startRedis } from "./redis-server.ts";
import { type BenchResult, goalLines, machineMarkdown, sectionMarkdown, type WorkloadResult } from "./report.ts";
import { dropTemplates } from "./stage.ts";
import type { Workload } from "./workload.ts";
import { WORKLOADS } from "./workloads/all.ts";

const USAGE = `npm run bench -- [options]
  Ours against others on the same PostgreSQL, and BullMQ also on Redis. Prints ratios, and keeps all figures as JSON.
  --workload a,b   ${WORKLOADS.map(({ name }) => name).join(", ")}; or all (drain)
  --quick          short looks: few messages, one pair
  --count N        messages per run, where a workload has a number of them
  --minutes N      comparisons get fewer pairs so that all is over after about so many minutes (25)
  --pairs N        pairs per comparison, if time allows
  --only a,b       contestants beside ours (${CONTESTANTS.filter((name) => name !== "ours").join(", ")})
  --no-threads     leaves out our thread mode
  --floor X        exit 1 when ours over pg-boss is below X (median) in the drain
  --prof DIR       CPU profiles of our runs in the drain, to be read with test/bench/profile.ts
  --write-docs     writes the figures and plots into docs/performance.md and keeps them as the reference
  --from FILE      runs nothing, but takes the figures of that JSON file`;

const RESULTS = fileURLToPath(new URL("./results/", import.meta.url));

const { values: given } = parseArgs({
  options: {
    workload: { type: "string", default: "drain" },
    quick: { type: "boolean", default: false },
    count: { type: "string" },
    minutes: { type: "string", default: "25" },
    pairs: { type: "string" },
    only: { type: "string" },
    "no-threads": { type: "boolean", default: false },
    floor: { type: "string" },
    prof: { type: "string" },
    "write-docs": { type: "boolean", default: false },
    from: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<number> {
  if (given.help) {
    console.log(USAGE);
    return 0;
  }
  const result = given.from === undefined ? await measureAll() : (JSON.parse(readFileSync(given.from, "utf8")) as BenchResult);
  console.log(`\n${machineMarkdown(result)}\n\n${goalLines(result).join("\n")}`);
  if (given["write-docs"]) {
    writeDocs(result);
    writeFileSync(`${RESULTS}reference.json`, `${JSON.stringify(result, null, 1)}\n`);
  }
  return aboveFloor(result) && Object.values(result.workloads).every(({ failure }) => failure === undefined) ? 0 : 1;
}

async function measureAll(): Promise<BenchResult> {
  const workloads = chosen();
  const server = await sharedServer();
  const redis = await startRedis();
  const context: Context = {
    server,
    redis,
    ...limits(),
    templates: new Map(),
    spent: { fillingMs: 0 },
    say: (line) => console.error(line),
  };
  if ("unavailable" in redis) context.say(`without BullMQ on Redis: ${redis.unavailable}`);
  const at = new Date().toISOString();
  const machine = await describeMachine(server.connectionString, redis);
  const results: Record<string, WorkloadResult> = {};
  const result: BenchResult = { machine, at, quick: given.quick, workloads: results };
  try {
    for (const workload of workloads) {
      results[workload.name] = await measureOne(context, workload);
      // After each: what was measured stays, whatever happens to the rest.
      store(result);
    }
    console.error(`\nAll figures: ${store(result)}`);
  } finally {
    await dropTemplates(context);
    if (!("unavailable" in redis)) await redis.close();
    await server.release();
  }
  return result;
}

async function measureOne(context: Context, workload: Workload): Promise<WorkloadResult> {
  const { title } = workload;
  const load = (): number => Number((loadavg()[0] ?? 0).toFixed(2));
  const [before, from] = [load(), performance.now()];
  context.say(`\n${new Date().toISOString().slice(11, 19)} ${title}, at most about ${workload.seconds} s, load average ${before}`);
  const secondsSince = (): number => Math.round((performance.now() - from) / 1_000);
  try {
    const sections = await workload.run(context);
    for (const section of sections) console.log(`\n${sectionMarkdown(section)}`);
    return { title, seconds: secondsSince(), load: [before, load()], sections };
  } catch (error) {
    context.say(`  not measured: ${(error as Error).stack}`);
    return { title, seconds: secondsSince(), load: [before, load()], sections: [], failure: (error as Error).message };
  } finally {
    await dropTemplates(context);
  }
}

function chosen(): readonly Workload[] {
  if (given.workload === "all") return WORKLOADS;
  return given.workload.split(",").map((name) => {
    const found = WORKLOADS.find((workload) => workload.name === name);
    if (found === undefined) throw new Error(`no workload "${name}"; there are ${WORKLOADS.map((each) => each.name).join(", ")}, all`);
    return found;
  });
}

function limits(): Pick<Context, "quick" | "endsAt" | "pairs" | "count" | "only" | "prof"> {
  const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const others = given.only?.split(",").filter((name) => name !== "") ?? CONTESTANTS;
  const only = given["no-threads"]
    ? others.filter((name) => name !== "threads")
    : given.only === undefined
      ? undefined
      : [...others, "threads"];
  const endsAt = performance.now() + Number(given.minutes) * 60_000;
  return { quick: given.quick, endsAt, pairs: numberOf(given.pairs), count: numberOf(given.count), only, prof: given.prof };
}

function aboveFloor(result: BenchResult): boolean {
  if (given.floor === undefined) return true;
  const goals = result.workloads.drain?.sections.flatMap((section) => section.goals) ?? [];
  const ratio = goals.find(({ text }) => text === "over pg-boss work()")?.seen?.median;
  if (ratio !== undefined && ratio >= Number(given.floor)) return true;
  console.error(`\nours over pg-boss is ${ratio?.toFixed(2) ?? "unknown"}, below the floor of ${given.floor}`);
  return false;
}

function store(result: BenchResult): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = `${RESULTS}${result.at.replaceAll(/[:.]/g, "-")}.json`;
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  return file;
}

process.exitCode = await main();
