import { pause, waitFor } from "@symphony/core/testing";
import { Note } from "../../fixtures/messages.ts";
import { readChanges } from "../../support/audit-trigger.ts";
import type { Duplicate } from "../../support/checker.ts";
import { now } from "../../support/journal.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import { type Fleet, isAlive } from "../fleet.ts";
import { Load } from "../load.ts";
import type { Row } from "../row.ts";

interface Kill {
  readonly at: number;
  readonly pid: number;
  readonly workerIds: readonly string[];
}

const CONCURRENCY = 10;
const PER_KILL = 100;

/** Workers that receive now: (pid, worker id, since when in ms since 1970). */
async function registered(arena: Arena): Promise<{ pid: number; id: string; since: number }[]> {
  return arena.database.query(
    "SELECT pid, worker_id AS id, (extract(epoch FROM started_at) * 1000)::float8 AS since FROM symphony.messenger_worker",
  );
}

/** One worker process after the other is killed while all of them work. */
async function killWorkers(arena: Arena): Promise<Record<string, number>> {
  const fleet = await arena.fleet({ processes: 3, concurrency: CONCURRENCY });
  const load = new Load(arena, { backlog: 300, turn: 150 });
  const kills: Kill[] = [];
  const boots = new Map<number, number>();
  const seen = new Map<number, number>();
  const note = async (): Promise<{ pid: number; id: string }[]> => {
    const rows = await registered(arena);
    for (const { pid, since } of rows) if (!seen.has(pid)) seen.set(pid, since);
    return rows;
  };
  await pause(500);
  while (kills.length < arena.n) {
    const rows = await waitFor(
      async () => {
        const living = new Set(fleet.workers());
        const candidates = (await note()).filter(({ pid }) => living.has(pid));
        return candidates.length > 0 && candidates;
      },
      { timeoutMs: 40_000, intervalMs: 50, what: "a worker process to kill" },
    );
    const victim = arena.random.pick(rows);
    const before = new Set(fleet.workers());
    const at = now();
    if (!isAlive(victim.pid)) continue;
    process.kill(victim.pid, "SIGKILL");
    arena.fault({ name: "SIGKILL", from: at, pids: [victim.pid] });
    kills.push({ at, pid: victim.pid, workerIds: rows.filter(({ pid }) => pid === victim.pid).map(({ id }) => id) });
    const target = arena.random.integer(50, 500);
    while (now() - at < target) {
      for (const pid of fleet.workers()) if (!before.has(pid) && !boots.has(pid)) boots.set(pid, at);
      await pause(20);
    }
    // So many messages to a kill as the figure is published with.
    await waitFor(() => load.sent >= kills.length * PER_KILL, { timeoutMs: 60_000, intervalMs: 20, what: "the writer to keep up" });
  }
  await pause(1_500);
  await note();
  await load.stop();
  await arena.drain(120_000);
  const exit = await fleet.stop();
  arena.require(exit.code === 0, `the fleet ended with ${exit.code}`);
  return judgeKills(arena, kills, boots, seen);
}

async function judgeKills(arena: Arena, kills: readonly Kill[], boots: ReadonlyMap<number, number>, seen: ReadonlyMap<number, number>) {
  const verdict = await arena.judge();
  const changes = (await readChanges(arena.database)).filter((change) => change.oldState === "active" && change.worker !== null);
  const byWorker = Map.groupBy(changes, (change) => change.worker as string);
  // Process ids come again in a long run: a repetition belongs to the kill that followed its first run.
  const killOf = ({ first }: Duplicate): Kill | undefined => kills.find(({ pid, at }) => pid === first.pid && at >= first.startedAt);
  const repeated = Map.groupBy(verdict.duplicates, killOf);
  const repeatedBy = (kill: Kill): readonly Duplicate[] => repeated.get(kill) ?? [];
  const back: number[] = [];
  let excess = 0;
  for (const kill of kills) {
    const after = kill.workerIds.flatMap((id) => byWorker.get(id) ?? []).filter(({ at }) => at > kill.at);
    if (after.length === 0) continue;
    back.push(Math.max(...after.map(({ at }) => at)) - kill.at);
    const again = repeatedBy(kill).length;
    const handedBack = after.filter(({ newState }) => newState === "retry").length;
    if (again > handedBack) excess += 1;
  }
  const replaced = [...boots].flatMap(([pid, killedAt]) => (seen.has(pid) ? [(seen.get(pid) ?? 0) - killedAt] : []));
  const perKill = kills.map((kill) => repeatedBy(kill).length);
  arena.require(verdict.accepted >= kills.length * PER_KILL, `only ${verdict.accepted} messages for ${kills.length} kills`);
  arena.require(excess === 0, `${excess} kills repeated more than was in flight`);
  arena.require(quantile(back, 0.99) <= 500, `work back p99 ${round(quantile(back, 0.99))} ms, allowed are 500`);
  arena.require(quantile(replaced, 0.95) <= 1_500, `replaced p95 ${round(quantile(replaced, 0.95))} ms, allowed are 1500`);
  return {
    kills: kills.length,
    ...summary(verdict),
    duplicates_per_kill_max: Math.max(...perKill),
    ...spread("work_back", back),
    ...spread("replaced", replaced),
  };
}

interface Loss {
  /** Ends the fleet in its way, and returns the processes that were hit. */
  readonly strike: (fleet: Fleet) => readonly number[];
  readonly withChildrenGoneMs?: number;
}

/** A fleet is lost while a second one, busy as well, is there to take over. */
async function loseFleet(arena: Arena, { strike, withChildrenGoneMs }: Loss): Promise<Record<string, number>> {
  const rescued: number[] = [];
  const gone: number[] = [];
  const keeper = await arena.fleet({ processes: 1 });
  const load = new Load(arena, { backlog: 80, turn: 60, sleepMs: [50, 300] });
  for (let round = 0; round < arena.n; round++) {
    const fleet = await arena.fleet({ processes: 2 });
    const pids = fleet.workers();
    const ids = await fleet.workerIds(pids);
    await waitFor(async () => (await arena.heldBy(ids)) > 0, { what: "the fleet to hold something" });
    await pause(arena.random.integer(0, 1_000));
    const at = now();
    const hit = strike(fleet);
    arena.fault({ name: "fleet lost", from: at, until: at + 2_500, pids: [...hit, ...pids] });
    if (withChildrenGoneMs !== undefined) {
      await waitFor(() => !pids.some(isAlive), { timeoutMs: 10_000, intervalMs: 5, what: "the children to be gone" });
      gone.push(now() - at);
    }
    await waitFor(async () => (await arena.heldBy(ids)) === 0, { timeoutMs: 40_000, intervalMs: 20, what: "the work to be elsewhere" });
    rescued.push(now() - at);
  }
  await load.stop();
  await arena.drain();
  await keeper.stop();
  const verdict = await arena.judge();
  arena.require(quantile(rescued, 1) <= 15_000, `rescued after ${round(quantile(rescued, 1))} ms, allowed are 15000`);
  if (withChildrenGoneMs !== undefined)
    arena.require(
      quantile(gone, 1) <= withChildrenGoneMs,
      `children gone after ${round(quantile(gone, 1))} ms, allowed are ${withChildrenGoneMs}`,
    );
  return { ...summary(verdict), ...spread("rescued", rescued), ...(gone.length > 0 ? spread("children_gone", gone) : {}) };
}

/** 30 seconds of standing still: longer than every lease and every patience. */
const FROZEN_MS = 30_000;

async function freezeChild(arena: Arena): Promise<Record<string, number>> {
  const fleet = await arena.fleet({ processes: 2 });
  const load = new Load(arena, { backlog: 60, turn: 50, sleepMs: [50, 300] });
  await pause(1_000);
  const pid = arena.random.pick(fleet.workers());
  const ids = await fleet.workerIds([pid]);
  const at = now();
  process.kill(pid, "SIGSTOP");
  arena.fault({ name: "SIGSTOP", from: at, until: at + FROZEN_MS, pids: [pid], overlap: true });
  await waitFor(async () => (await arena.heldBy(ids)) === 0, { timeoutMs: 20_000, intervalMs: 20, what: "its work to be elsewhere" });
  const rescued = now() - at;
  await waitFor(() => !isAlive(pid), { timeoutMs: 20_000, what: "the silent child to be killed" });
  const killed = now() - at;
  await fleet.ready();
  const replaced = now() - at;
  await load.stop();
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(killed <= 11_000, `killed after ${round(killed)} ms, allowed are 11000`);
  arena.require(rescued <= 12_000, `rescued after ${round(rescued)} ms, allowed are 12000`);
  return { ...summary(verdict), killed_ms: round(killed), rescued_ms: round(rescued), replaced_ms: round(replaced) };
}

async function freezeFleet(arena: Arena): Promise<Record<string, number>> {
  const frozen = await arena.fleet({ processes: 2 });
  const pids = frozen.workers();
  const ids = await frozen.workerIds(pids);
  const sent = await arena.sendMany(200, Note, () => ({ sleepMs: arena.random.integer(1_000, 4_000) }));
  await waitFor(async () => (await arena.heldBy(ids)) >= 20, { what: "work in flight" });
  const at = now();
  frozen.program.signalGroup("SIGSTOP");
  arena.fault({ name: "SIGSTOP of the fleet", from: at, until: at + FROZEN_MS + 5_000, pids, overlap: true });
  const keeper = await arena.fleet({ processes: 1, concurrency: 50 });
  await waitFor(async () => (await arena.heldBy(ids)) === 0, { timeoutMs: 25_000, intervalMs: 20, what: "its work to be elsewhere" });
  const rescued = now() - at;
  await pause(Math.max(0, FROZEN_MS - (now() - at)));
  frozen.program.signalGroup("SIGCONT");
  const thawed = now();
  await frozen.ready(40_000);
  const back = now() - thawed;
  await arena.drain();
  // What the thawed processes still wanted to say has been said by now: they are asked to end in order.
  await frozen.stop();
  await keeper.stop();
  const verdict = await arena.judge();
  const late = (await readChanges(arena.database)).filter(
    (change) => change.oldState === "active" && ids.includes(change.worker ?? "") && change.at > thawed,
  ).length;
  arena.require(late === 0, `${late} late settlements were accepted`);
  arena.require(rescued <= 15_000 + 3_000, `rescued after ${round(rescued)} ms`);
  return { ...summary(verdict), sent: sent.length, rescued_ms: round(rescued), late_accepted: late, back_ms: round(back) };
}

export const killRows: readonly Row[] = [
  { id: "F01", title: "worker processes are killed at random under load", n: 1_000, gate: 60, run: killWorkers },
  {
    id: "F02",
    title: "the supervisor is killed",
    n: 5,
    gate: 1,
    run: (arena) =>
      loseFleet(arena, {
        strike: (fleet) => {
          process.kill(fleet.supervisor, "SIGKILL");
          return [fleet.supervisor];
        },
        withChildrenGoneMs: 2_000,
      }),
  },
  {
    id: "F03",
    title: "a whole fleet is killed while another one runs",
    n: 20,
    gate: 3,
    run: (arena) =>
      loseFleet(arena, {
        strike: (fleet) => {
          fleet.program.signalGroup("SIGKILL");
          return [fleet.supervisor];
        },
      }),
  },
  { id: "F04a", title: "a worker process stands still for longer than its lease", n: 1, gate: 1, run: freezeChild },
  { id: "F04b", title: "a whole fleet stands still for 30 s and wakes up", n: 1, gate: 1, run: freezeFleet },
];
