import { type AdminBed, openAdminBed } from "../admin/admin-bed.ts";

/** `npm run bench:admin [-- WAITING [DEAD [REQUESTS]]]`: what reads cost when there is much. */
const [waiting = 1_000_000, dead = 100_000, requests = 200] = process.argv.slice(2).map(Number);

/** Milliseconds, p95. */
const GOALS = {
  status: 50,
  "a page of dead letters": 50,
  "a later page": 50,
  "a page by type": 50,
  "a page by queue": 50,
  groups: 300,
} as const;

interface Measured {
  readonly p50: number;
  readonly p95: number;
  readonly worst: number;
}

/** Copies of a real row, so that every column is as the transport writes it. */
async function multiply(bed: AdminBed, table: string, count: number, replaced: Readonly<Record<string, string>>): Promise<void> {
  const columns = await bed.database.query<{ name: string }>(
    "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = 'symphony' AND table_name = $1 ORDER BY ordinal_position",
    [table],
  );
  const names = columns.map(({ name }) => name);
  const values = names.map((name) => replaced[name] ?? `t.${name}`);
  const from = `(SELECT * FROM symphony.${table} LIMIT 1) t, generate_series(1, ${count}) n`;
  await bed.database.query(`INSERT INTO symphony.${table} (${names.join(", ")}) SELECT ${values.join(", ")} FROM ${from}`);
  await bed.database.query(`ANALYZE symphony.${table}`);
}

async function tableOf(bed: AdminBed, queue: string): Promise<string> {
  const rows = await bed.database.query<{ table_name: string }>("SELECT table_name FROM symphony.queue WHERE name = $1", [queue]);
  return rows[0]?.table_name ?? "";
}

async function fill(bed: AdminBed): Promise<void> {
  await bed.fail({ n: 0 });
  await bed.ask("POST", "/api/symphony/dispatch", {
    body: { message: { type: "image.resize", payload: { url: "https://example.org/a", width: 1 } } },
  });
  const [letters] = await bed.database.query<{ name: string }>(
    "SELECT DISTINCT dead_letter AS name FROM symphony.queue WHERE dead_letter IS NOT NULL",
  );
  const age = "now() - n * interval '1 ms'";
  await multiply(bed, await tableOf(bed, "images"), waiting, { id: "gen_random_uuid()", created_on: age });
  await multiply(bed, await tableOf(bed, letters?.name ?? ""), dead, {
    id: "gen_random_uuid()",
    source_id: "gen_random_uuid()",
    created_on: age,
    source_output: "jsonb_set(t.source_output, '{fingerprint}', to_jsonb(lpad(to_hex(n % 50), 16, '0')))",
  });
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

async function measure(ask: () => Promise<{ readonly status: number }>): Promise<Measured> {
  const times: number[] = [];
  for (let n = 0; n < requests; n += 1) {
    const startedAt = performance.now();
    const { status } = await ask();
    if (status !== 200) throw new Error(`answered ${status}`);
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), worst: at(1) };
}

const bed = await openAdminBed();
try {
  process.stdout.write(`filling: ${waiting} waiting, ${dead} dead-lettered\n`);
  await fill(bed);
  const { body } = await bed.ask("GET", "/api/symphony/failed?limit=50");
  const paths: Readonly<Record<keyof typeof GOALS, string>> = {
    status: "/api/symphony/status",
    "a page of dead letters": "/api/symphony/failed?limit=50",
    "a later page": `/api/symphony/failed?limit=50&cursor=${body.pagination.nextCursor}`,
    "a page by type": "/api/symphony/failed?limit=50&type=test.fail",
    "a page by queue": "/api/symphony/failed?limit=50&queue=images",
    groups: "/api/symphony/failed/groups",
  };
  const rows: object[] = [];
  for (const [what, path] of Object.entries(paths) as [keyof typeof GOALS, string][]) {
    const { p50, p95, worst } = await measure(() => bed.ask("GET", path));
    rows.push({ what, "p50 ms": round(p50), "p95 ms": round(p95), "worst ms": round(worst), goal: GOALS[what], met: p95 <= GOALS[what] });
    if (p95 > GOALS[what]) process.exitCode = 1;
  }
  // What this machine takes at the moment for an answer that needs no database: under load everything is slower by that much.
  const idle = await measure(() => bed.ask("GET", "/"));
  rows.push({ what: "(the page at /)", "p50 ms": round(idle.p50), "p95 ms": round(idle.p95), "worst ms": round(idle.worst) });
  for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
  const { body: status } = await bed.ask("GET", "/api/symphony/status");
  process.stdout.write(`${JSON.stringify(status.queue)}\n`);
} finally {
  await bed.stop();
}
