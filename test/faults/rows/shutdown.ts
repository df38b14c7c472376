import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pause, waitFor } from "@symphony/core/testing";
import { Note, Slow } from "../../fixtures/messages.ts";
import { readClaims } from "../../support/audit-trigger.ts";
import { now, type RunEntry } from "../../support/journal.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import { cpuSeconds } from "../fleet.ts";
import { Load } from "../load.ts";
import type { Figures, Row } from "../row.ts";

async function stopIdle(arena: Arena): Promise<Figures> {
  const took: number[] = [];
  for (let i = 0; i < arena.n; i++) {
    const fleet = await arena.fleet({ transport: { applicationName: "idle-fleet" } });
    await pause(arena.random.integer(200, 1_200));
    const { code, afterMs } = await fleet.stop();
    arena.require(code === 0, `exit code ${code}`);
    took.push(afterMs);
    const [left] = await arena.database.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'idle-fleet%'",
    );
    arena.require(left?.n === 0, `${left?.n} connections were left behind`);
  }
  arena.requireInTime(quantile(took, 1), 500, `took up to ${round(quantile(took, 1))} ms, allowed are 500`);
  return spread("stop", took);
}

/** Milliseconds for a claim that was on its way to the database when the worker process was told to stop. */
const UNDER_WAY_MS = 250;
/** Milliseconds from the signal to the last worker process that hears of it: a machine at half its speed takes 150 at most. */
const HEARD_MS = 1_500;

/** Handlers fit into the timeout: all of them end, nothing else is begun, and a waiting thief finds nothing to steal. */
async function stopWhatFits(arena: Arena): Promise<Figures> {
  const took: number[] = [];
  const thief = await arena.fleet({ processes: 1 });
  const load = new Load(arena, { backlog: 60, turn: 40, sleepMs: [200, 900] });
  const stops: { readonly pid: number; readonly ids: readonly string[]; readonly signalledAt: number }[] = [];
  for (let i = 0; i < arena.n; i++) {
    const fleet = await arena.fleet({ processes: 2, concurrency: 5, shutdownTimeout: 5 });
    const ids = new Map<number, readonly string[]>();
    for (const pid of fleet.workers()) ids.set(pid, await fleet.workerIds([pid]));
    await waitFor(async () => (await arena.heldBy([...ids.values()].flat())) >= 6, { timeoutMs: 15_000, what: "work in flight" });
    await pause(arena.random.integer(0, 500));
    for (const [pid, own] of ids) stops.push({ pid, ids: own, signalledAt: now() });
    const { code, afterMs } = await fleet.stop();
    arena.require(code === 0, `exit code ${code}`);
    took.push(afterMs);
  }
  await load.stop();
  await arena.drain();
  await thief.stop();
  const verdict = await arena.judge();
  const claims = await readClaims(arena.database);
  const told = arena.entries().filter((entry) => entry.kind === "told");
  const heard = stops.map(({ pid, ids, signalledAt }) => ({
    ids,
    signalledAt,
    // A process id may come again.
    at: told.find((entry) => entry.pid === pid && entry.at >= signalledAt)?.at ?? Number.POSITIVE_INFINITY,
  }));
  const heardAfter = heard.map(({ signalledAt, at }) => at - signalledAt);
  const late = heard.flatMap(({ ids, signalledAt, at }) =>
    claims.filter((claim) => ids.includes(claim.worker ?? "") && claim.at > Math.min(at, signalledAt + HEARD_MS) + UNDER_WAY_MS),
  ).length;
  const paid = arena.entries().filter((entry) => entry.kind === "start" && entry.attempt > 1).length;
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages were begun twice`);
  arena.require(paid === 0, `${paid} attempts were spent`);
  arena.require(late === 0, `${late} messages were claimed by a worker process that had been told to stop`);
  arena.requireInTime(quantile(heardAfter, 1), HEARD_MS, `told up to ${round(quantile(heardAfter, 1))} ms after the signal`);
  arena.requireInTime(quantile(took, 1), 6_000, `took up to ${round(quantile(took, 1))} ms, allowed are 6000`);
  return { ...summary(verdict), attempts_spent: paid, ...spread("stop", took), ...spread("heard", heardAfter) };
}

interface Overlong {
  readonly timeoutSeconds: number;
  /** Milliseconds after the first signal for a second one. */
  readonly secondAfterMs?: number;
  readonly exitWithinMs: number;
}

/** Handlers that outlast the timeout, and do not listen: their messages go elsewhere, uncounted. */
async function stopWhatDoesNotFit(arena: Arena, { timeoutSeconds, secondAfterMs, exitWithinMs }: Overlong): Promise<Figures> {
  const took: number[] = [];
  const elsewhere: number[] = [];
  const thief = await arena.fleet({ processes: 1, threads: 2, concurrency: 400 });
  for (let i = 0; i < arena.n; i++) {
    thief.program.signal("SIGUSR2");
    const fleet = await arena.fleet({ processes: 2, concurrency: 5, shutdownTimeout: timeoutSeconds });
    const pids = fleet.workers();
    const sent = await arena.sendMany(10, Slow, () => ({ sleepMs: 10_000 }));
    const starts = (): RunEntry[] =>
      arena.entries().filter((entry): entry is RunEntry => entry.kind === "start" && sent.some(({ value }) => value === entry.value));
    await waitFor(() => starts().length === 10, { timeoutMs: 15_000, what: "ten in flight" });
    thief.program.signal("SIGCONT");
    const first = now();
    const exit = fleet.program.waitForExit(30_000);
    fleet.program.signal("SIGTERM");
    if (secondAfterMs !== undefined) {
      await pause(secondAfterMs);
      fleet.program.signal("SIGTERM");
    }
    const signalled = now();
    const { code } = await exit;
    const ended = now();
    arena.fault({ name: "shutdown", from: first, until: ended, pids });
    took.push(ended - (secondAfterMs === undefined ? first : signalled));
    arena.require(code === 0, `exit code ${code}`);
    await waitFor(
      () =>
        new Set(
          starts()
            .filter(({ pid }) => !pids.includes(pid))
            .map(({ value }) => value),
        ).size === 10,
      {
        timeoutMs: 20_000,
        intervalMs: 20,
        what: "its messages to run elsewhere",
      },
    );
    elsewhere.push(Math.max(0, now() - ended));
  }
  await arena.drain();
  await thief.stop();
  const verdict = await arena.judge();
  const paid = arena.entries().filter((entry) => entry.kind === "start" && entry.attempt > 1).length;
  arena.require(paid === 0, `${paid} attempts were spent`);
  arena.requireInTime(quantile(took, 1), exitWithinMs, `took up to ${round(quantile(took, 1))} ms, allowed are ${exitWithinMs}`);
  arena.requireInTime(
    quantile(elsewhere, 1),
    2_000,
    `elsewhere up to ${round(quantile(elsewhere, 1))} ms after the exit, allowed are 2000`,
  );
  return { ...summary(verdict), attempts_spent: paid, ...spread("stop", took), ...spread("elsewhere", elsewhere) };
}

/** By a signal to this fleet, and by the command that asks all fleets, in turn. */
async function rollingRestart(arena: Arena): Promise<Figures> {
  const processes = 3;
  const fleet = await arena.fleet({ processes });
  const load = new Load(arena, { backlog: 60, turn: 40, sleepMs: [10, 200] });
  const took: number[] = [];
  let least = processes;
  for (let i = 0; i < arena.n; i++) {
    const before = fleet.workers();
    const at = now();
    if (i % 2 === 0) fleet.program.signal("SIGHUP");
    else {
      const env = { SYMPHONY_TEST_DSN: arena.database.connectionString };
      const { code, stderr } = await arena.processes.run(["stop-workers", "--config", arena.fixture], { env });
      arena.require(code === 0, `stop-workers ended with ${code}: ${stderr}`);
    }
    await waitFor(
      async () => {
        least = Math.min(least, await fleet.countReady());
        const pids = fleet.workers();
        return pids.length === processes && !pids.some((pid) => before.includes(pid));
      },
      { timeoutMs: 60_000, intervalMs: 20, what: "all worker processes to be new" },
    );
    took.push(now() - at);
    await fleet.ready();
  }
  await load.stop();
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages were begun twice`);
  arena.require(least >= processes - 1, `only ${least} of ${processes} were ready at some time`);
  return { ...summary(verdict), least_ready: least, ...spread("round", took) };
}

const FIXTURE = fileURLToPath(new URL("../../fixtures/symphony.config.ts", import.meta.url));

/** A configuration that ends the worker processes that load it, for as long as a file is there. */
async function crashLoop(arena: Arena): Promise<Figures> {
  const config = join(arena.directory, "symphony.config.mjs");
  const broken = join(arena.directory, "broken");
  writeFileSync(broken, "");
  writeFileSync(
    config,
    `import { existsSync } from "node:fs";
if (process.argv[1].includes("child-main") && existsSync(${JSON.stringify(broken)})) process.exit(3);
export { default } from ${JSON.stringify(FIXTURE)};\n`,
  );
  const fleet = await arena.fleet({ processes: 1, config, unready: true });
  await fleet.started();
  const startedAt = now();
  let liveness = 200;
  while (now() - startedAt < 12_000) {
    const { status } = await fleet.probe("/livez");
    if (status !== 200) liveness = status;
    await pause(250);
  }
  const deaths = fleet.logged(/worker process died/);
  const ready = await fleet.probe("/readyz?verbose");
  rmSync(broken);
  const healedAt = now();
  await fleet.ready(35_000);
  const backMs = now() - healedAt;
  const cpu = cpuSeconds(fleet.supervisor);
  const { code } = await fleet.stop();
  arena.require(code === 0, `exit code ${code}`);
  // 1 + 2 + 4 + 8 s of pauses: the fifth start is not before 15 s.
  arena.require(deaths >= 2 && deaths <= 5, `${deaths} starts in 12 s`);
  arena.require(liveness === 200, `/livez said ${liveness}`);
  arena.require(
    ready.status === 503 && ready.text.includes("exit code 3 before it was ready"),
    `/readyz does not name the cause: ${ready.text}`,
  );
  return { starts_in_12_s: deaths, livez: liveness, back_ms: round(backMs), supervisor_cpu_s: round(cpu, 2) };
}

/** Nothing to do: what that costs the database and the machine. */
async function idle(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2 });
  await arena.sendMany(20, Note, () => ({ sleepMs: 0 }));
  await arena.drain();
  // Only what the fleet sends is to be counted.
  await arena.messenger.close();
  // What the start and the last messages left to do, and what backends have still to report.
  await pause(12_000);
  const pids = [fleet.supervisor, ...fleet.workers()];
  const read = async (): Promise<number> => {
    const [row] = await arena.database.query<{ n: number }>(
      "SELECT (xact_commit + xact_rollback)::float8 AS n FROM pg_stat_database WHERE datname = current_database()",
    );
    return row?.n ?? 0;
  };
  const cpu = (): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [statements, used, at] = [await read(), cpu(), now()];
  await pause(60_000);
  const seconds = (now() - at) / 1_000;
  const perSecond = ((await read()) - statements) / seconds;
  const share = ((cpu() - used) / seconds) * 100;
  await fleet.stop();
  arena.require(perSecond <= 2, `${round(perSecond, 2)} statements/s, allowed are 2`);
  arena.require(share <= 1, `${round(share, 2)} % of a CPU, allowed is 1 %`);
  return { statements_per_s: round(perSecond, 2), cpu_percent: round(share, 2), seconds: round(seconds) };
}

export const shutdownRows: readonly Row[] = [
  { id: "F06", title: "SIGTERM, idle", n: 10, gate: 3, run: stopIdle },
  { id: "F07", title: "SIGTERM, handlers fit into the timeout", n: 200, gate: 20, waits: 60, run: stopWhatFits },
  {
    id: "F08",
    title: "SIGTERM, handlers outlast the timeout",
    n: 200,
    gate: 20,
    run: (arena) => stopWhatDoesNotFit(arena, { timeoutSeconds: 1, exitWithinMs: 2_000 }),
  },
  {
    id: "F09",
    title: "a second SIGTERM",
    n: 10,
    gate: 2,
    waits: 12,
    run: (arena) => stopWhatDoesNotFit(arena, { timeoutSeconds: 30, secondAfterMs: 500, exitWithinMs: 2_000 }),
  },
  { id: "F11", title: "rolling restart by SIGHUP and stop-workers under load", n: 6, gate: 2, run: rollingRestart },
  { id: "F12", title: "crash loop at the start of worker processes", n: 1, gate: 1, waits: 22, run: crashLoop },
  { id: "IDLE", title: "an idle fleet of two processes", n: 1, server: { autovacuum: "off" }, run: idle },
];
