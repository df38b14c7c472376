import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type PrivateServer, startPrivateServer } from "../support/private-server.ts";
import { freshSeed } from "../support/random.ts";
import { Arena } from "./arena.ts";
import type { Row, RowResult } from "./row.ts";
import { NOT_BUILT, ROWS } from "./rows.ts";

/**
 * Runs rows of the fault catalogue against real processes and a real PostgreSQL, and judges by what was promised.
 *
 *   npm run faults -- [--only F01,F14] [--n 100] [--seed 1] [--gate] [--beside 4]
 *
 * `--beside`: how many of the rows that mostly wait run at the same time; 4 in the gate, else 1.
 */
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    n: { type: "string" },
    seed: { type: "string" },
    gate: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    beside: { type: "string" },
  },
});

const RESULTS = fileURLToPath(new URL("./results", import.meta.url));
/** Of the rows' own server: durable as a user's, and with room for many fleets. */
const SERVER = { max_connections: 200 };
/** As many as two CPUs carry when each waits most of the time. */
const LANES = 4;
/** Runs at most of a row that fails for its times alone: what stalls a shared machine does not do it three times in a row. */
const RUNS_IF_LATE = 3;

function choose(): readonly Row[] {
  if (values.only === undefined) return values.gate ? ROWS.filter(({ gate }) => gate !== undefined) : ROWS;
  return [...new Set(values.only.split(","))].map((id) => {
    const row = ROWS.find((candidate) => candidate.id === id);
    if (row === undefined) throw new Error(`there is no row ${id}; known: ${ROWS.map((candidate) => candidate.id).join(", ")}`);
    return row;
  });
}

async function runRow(row: Row, shared: PrivateServer, seed: number): Promise<RowResult> {
  const n = values.n === undefined ? ((values.gate ? row.gate : undefined) ?? row.n) : Number(values.n);
  const skipped = row.lacks?.();
  if (skipped !== undefined)
    return { id: row.id, title: row.title, seed, n, seconds: 0, figures: {}, violations: [], passed: false, skipped };
  const startedAt = performance.now();
  const violations: string[] = [];
  let isLate = false;
  let figures: RowResult["figures"] = {};
  const server = row.server === undefined ? shared : await startPrivateServer({ settings: row.server });
  try {
    const arena = await Arena.open({ seed, n, gate: values.gate, server });
    try {
      figures = await row.run(arena);
    } catch (error) {
      violations.push(`could not be run to its end: ${(error as Error).stack ?? error}`);
    }
    violations.push(...arena.violations);
    isLate = violations.length > 0 && violations.length === arena.late.length;
    await arena.close({ keep: violations.length > 0 });
    // The journal, and what the processes said.
    if (violations.length > 0) violations.push(`kept: ${arena.directory}`);
  } catch (error) {
    violations.push(`its surroundings failed: ${(error as Error).stack ?? error}`);
    isLate = false;
  } finally {
    if (server !== shared) await server.close();
  }
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  return { id: row.id, title: row.title, seed, n, seconds, figures, violations, passed: violations.length === 0, isLate };
}

function show(result: RowResult): void {
  const { id, title, seed, n, seconds, figures, violations, passed } = result;
  if (result.skipped !== undefined) {
    console.log(`SKIP ${id} ${title}: ${result.skipped}`);
    return;
  }
  console.log(`${passed ? "PASS" : result.isLate === true ? "LATE" : "FAIL"} ${id} ${title}  (seed ${seed}, n ${n}, ${seconds} s)`);
  const shown = Object.entries(figures).map(([name, value]) => `${name}=${value}`);
  if (shown.length > 0) console.log(`     ${shown.join("  ")}`);
  for (const violation of violations) console.log(`     ! ${violation}`);
}

/** Those that mostly wait run side by side, then the others run one by one; and then again, alone, those that were late. */
async function runRows(rows: readonly Row[], server: PrivateServer, seed: number): Promise<RowResult[]> {
  const results = new Map<Row, RowResult>();
  const runLane = async (waiting: Row[]): Promise<void> => {
    for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
      console.log(`---- ${row.id} ${row.title}`);
      const result = await runRow(row, server, seed);
      results.set(row, result);
      show(result);
    }
  };
  const lanes = Number(values.beside ?? (values.gate ? LANES : 1));
  const waiting = lanes > 1 ? rows.filter(({ waits }) => waits !== undefined).sort((a, b) => (b.waits ?? 0) - (a.waits ?? 0)) : [];
  const alone = rows.filter((row) => !waiting.includes(row));
  await Promise.all(Array.from({ length: lanes }, () => runLane(waiting)));
  await runLane(alone);
  for (let run = 2; run <= RUNS_IF_LATE; run++) {
    const late = rows.filter((row) => results.get(row)?.isLate === true);
    if (late.length > 0) console.log(`==== run ${run} of what failed for its times alone`);
    await runLane(late);
  }
  return [...results.values()];
}

async function main(): Promise<number> {
  const seed = values.seed === undefined ? freshSeed() : Number(values.seed);
  const rows = choose();
  if (values.list) {
    for (const { id, title, n, gate } of rows) console.log(`${id}  ${title}  (n ${n}, gate ${gate ?? "-"})`);
    for (const [id, why] of Object.entries(NOT_BUILT)) console.log(`${id}  not built: ${why}`);
    return 0;
  }
  const server = await startPrivateServer({ settings: SERVER });
  const startedAt = performance.now();
  let results: readonly RowResult[];
  try {
    results = await runRows(rows, server, seed);
  } finally {
    await server.close();
  }
  if (values.only === undefined) for (const [id, why] of Object.entries(NOT_BUILT)) console.log(`not built ${id}: ${why}`);
  mkdirSync(RESULTS, { recursive: true });
  const file = `${RESULTS}/${new Date().toISOString().replace(/[:.]/g, "-")}.json`;
  writeFileSync(file, `${JSON.stringify({ seed, gate: values.gate, results, notBuilt: NOT_BUILT }, null, 2)}\n`);
  const skipped = results.filter((result) => result.skipped !== undefined).length;
  const failed = results.filter(({ passed }) => !passed).length - skipped;
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  console.log(
    `${results.length - failed - skipped} passed, ${failed} failed, ${skipped} could not be run here (${seconds} s, seed ${seed})`,
  );
  return failed === 0 ? 0 : 1;
}

// Ended from outside, as by a time limit: the servers and processes go with it.
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
// Whatever a row has left open does not keep the runner.
process.exit();
