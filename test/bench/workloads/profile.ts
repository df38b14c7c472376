import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../support/database.ts";
import { startPrivateServer } from "../../support/private-server.ts";
import { loadContestant } from "../contestants.ts";
import type { Context } from "../context.ts";
import { drain } from "../measure.ts";
import { allocations, summarise } from "../profile.ts";
import { dropTemplates } from "../stage.ts";
import type { Section, Table, Workload } from "../workload.ts";
import { INLINE } from "./settings.ts";

const MOST_ROWS = 14;
/** Characters of a statement that are shown. */
const SHOWN = 90;

/** Where the time of the process goes, what it allocates, and what the database does, each per message. */
async function run(context: Context): Promise<readonly Section[]> {
  const count = context.count ?? (context.quick ? 10_000 : 100_000);
  const directory = mkdtempSync(join(tmpdir(), "symphony-bench-"));
  const server = await startPrivateServer({ settings: { shared_preload_libraries: "pg_stat_statements", max_wal_size: "4GB" } });
  const here: Context = { ...context, server: { ...server, release: () => server.close() }, templates: new Map() };
  const order = { name: "ours", settings: INLINE, count };
  try {
    const [cpu, heap] = [join(directory, "cpu"), join(directory, "heap")];
    const statements: { sending?: Table; consuming?: Table } = {};
    const contestant = await loadContestant("ours");
    const filling = {
      name: "profiled",
      make: async (target: Parameters<typeof contestant.fill>[0]) => {
        await contestant.fill(target, count);
      },
    };
    await drain(here, { ...order, filling, profile: { cpu } });
    await drain(here, { ...order, filling, profile: { heap } });
    // Filled anew, so that sending is counted in the same database.
    await drain(here, {
      ...order,
      filling: { name: "nothing", make: (target) => contestant.fill(target, 0) },
      beside: async ({ database, target }) => {
        await database.query("CREATE EXTENSION pg_stat_statements");
        await contestant.fill(target, count);
        statements.sending = await statementsOf(database, count, "Statements of sending, `dispatchMany` of 1,000");
        await database.query("SELECT pg_stat_statements_reset()");
        return async () => {
          statements.consuming = await statementsOf(database, count, "Statements of consuming, batch 1,000");
        };
      },
    });
    const tables = [cpuTable(cpu, count), heapTable(heap, count), statements.sending, statements.consuming];
    const about = `One process drains ${count} no-op messages inline, three times: under the CPU profiler, under the allocation sampler, and with pg_stat_statements. Everything per message.`;
    const shown = tables.filter((table) => table !== undefined);
    return [{ id: "profile", title: "Profile", about, figure: "", figures: {}, standings: [], goals: [], tables: shown }];
  } finally {
    await dropTemplates(here);
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Waiting is not work, and the profiler's own is not ours. */
const isWork = (where: string): boolean => !["(idle)", "(root)"].includes(where) && !where.includes("node:inspector");

function cpuTable(file: string, count: number): Table {
  const costs = summarise(file).filter(({ where }) => isWork(where));
  const all = costs.reduce((sum, { selfMs }) => sum + selfMs, 0);
  const us = (ms: number): string => ((ms * 1_000) / count).toFixed(2);
  const rows = costs.slice(0, MOST_ROWS).map(({ where, selfMs, totalMs }) => [code(where), us(selfMs), us(totalMs), share(selfMs, all)]);
  return { title: `CPU by function: ${us(all)} µs in all`, columns: ["function", "self (µs)", "with callees (µs)", "share"], rows };
}

function heapTable(file: string, count: number): Table {
  const all = allocations(file).reduce((sum, { bytes }) => sum + bytes, 0);
  const per = (bytes: number): string => String(Math.round(bytes / count));
  const rows = allocations(file)
    .slice(0, MOST_ROWS)
    .map(({ where, bytes }) => [code(where), per(bytes), share(bytes, all)]);
  return { title: `Allocations by function: ${per(all)} bytes in all`, columns: ["function", "bytes", "share"], rows };
}

interface StatementRow {
  readonly query: string;
  readonly calls: string;
  readonly rows: string;
  readonly wal: string;
  readonly ms: number;
}

async function statementsOf(database: Database, count: number, title: string): Promise<Table> {
  const found = await database.query<StatementRow>(`
    SELECT query, calls, rows, wal_bytes AS wal, total_exec_time AS ms FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query !~ 'pg_stat|look|CHECKPOINT' AND total_exec_time > 0.1
    ORDER BY total_exec_time DESC LIMIT 8`);
  const per = (value: string | number, digits: number): string => (Number(value) / count).toFixed(digits);
  const rows = found.map(({ query, calls, rows: touched, wal, ms }) => [
    describe(query.replaceAll(/\s+/g, " ")),
    calls,
    per(touched, 2),
    per(wal, 0),
    per(ms * 1_000, 2),
  ]);
  return { title, columns: ["statement", "calls", "rows", "WAL (bytes)", "time (µs)"], rows };
}

/** Those that cost anything, by what they do. */
const STATEMENTS: readonly (readonly [RegExp, string])[] = [
  [/^INSERT INTO symphony\.job /, "insert of messages"],
  [/FOR KEY SHARE/, "pg-boss's foreign key, checked at commit"],
  [/pg_notify/, "wake-up"],
  [/SKIP LOCKED/, "acknowledgement of the last bundle and claim of the next"],
];

const describe = (query: string): string => STATEMENTS.find(([pattern]) => pattern.test(query))?.[1] ?? code(query.slice(0, SHOWN));

const code = (text: string): string => `\`${text.replaceAll("|", "¦").replaceAll("`", "'")}\``;
const share = (part: number, all: number): string => `${((part / all) * 100).toFixed(0)} %`;

export const profile: Workload = { name: "profile", title: "profile of process and database", seconds: 60, run };
