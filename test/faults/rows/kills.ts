import { pause, waitFor } from "@symphony/core/testing";
import { Note } from "../../fixtures/messages.ts";
import { readChanges, readRegistrations } from "../../support/audit-trigger.ts";
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
}

const CONCURRENCY = 10;
const PROCESSES = 3;
const PER_KILL = 100;
/** Milliseconds by which a handler may begin after the moment that was noted for the kill of its process: far less than it takes a pid to come again. */
const NOTED_EARLY_MS = 1_000;
/** Milliseconds. */
const REPLACED_MS = 1_500;
/**
 * Kills come so fast that two cores do little else than start processes: how long one takes then is a multiple of what it
 * takes at rest (1.6 to 1.7 in the median, 2.7 at the 95th percentile beside two busy loops), and both depend on the machine.
 * One on which this many times the rest is more than the published figure is too slow to be judged by that.
 */
const REPLACED_TO_REST = 3.5;
/** Replacements at rest, of which the median counts: one alone varies by a third. */
const RESTS = 3;

/** One worker process after the other is killed while all of them work. */
async function killWorkers(arena: Arena): Promise<Record<string, number>> {
  const fleet = await arena.fleet({ processes: PROCESSES, threads: 1, concurrency: CONCURRENCY });
  const rests: number[] = [];
  for (let i = 0; i < RESTS; i++) rests.push(await replaceAtRest(arena, fleet));
  const restMs = quantile(rests, 0.5);
  // All slots are busy and a backlog waits, while the machine has room to start processes: what that takes is measured.
  const load = new Load(arena, { backlog: 300, turn: 150, sleepMs: [60, 240] });
  const kills: Kill[] = [];
  await pause(500);
  while (kills.length < arena.n) {
    const receiving = await waitFor(() => receivingWorkers(arena, fleet), {
      timeoutMs: 40_000,
      intervalMs: 50,
      what: "a worker process to kill",
    });
    const pid = arena.random.pick(receiving);
    const at = now();
    if (!isAlive(pid)) continue;
    process.kill(pid, "SIGKILL");
    arena.fault({ name: "SIGKILL", from: at, pids: [pid] });
    kills.push({ at, pid });
    await pause(arena.random.integer(50, 500));
    // So many messages to a kill as the figure is published with.
    await waitFor(() => load.sent >= kills.length * PER_KILL, { timeoutMs: 60_000, intervalMs: 20, what: "the writer to keep up" });
  }
  await fleet.ready();
  await load.stop();
  await arena.drain(120_000);
  const exit = await fleet.stop();
  arena.require(exit.code === 0, `the fleet ended with ${exit.code}`);
  return judgeKills(arena, kills, restMs);
}

/** Milliseconds from the death of a worker process of a fleet that has nothing to do to the registration of the next one. */
async function replaceAtRest(arena: Arena, fleet: Fleet): Promise<number> {
  const [pid] = fleet.workers();
  if (pid === undefined) throw new Error("no worker process");
  const { length: before } = await readRegistrations(arena.database);
  const at = now();
  process.kill(pid, "SIGKILL");
  arena.fault({ name: "SIGKILL", from: at, pids: [pid] });
  const registered = await waitFor(async () => (await readRegistrations(arena.database))[before], {
    timeoutMs: 30_000,
    what: "another process",
  });
  await fleet.ready();
  return registered.at - at;
}

/** Process ids of those whose lease is in the database; false: of nobody. */
async function receivingWorkers(arena: Arena, fleet: Fleet): Promise<readonly number[] | false> {
  const living = new Set(fleet.workers());
  const rows = await arena.database.query<{ pid: number }>("SELECT DISTINCT pid FROM symphony.messenger_worker ORDER BY pid");
  const pids = rows.flatMap(({ pid }) => (living.has(pid) ? [pid] : []));
  return pids.length > 0 && pids;
}

/** What one killed process left behind. */
interface Estate {
  readonly kill: Kill;
  /** Messages that were in flight: claimed by it, and not settled when it died. */
  readonly inFlight: ReadonlySet<string>;
  /** When the last of them was back in its queue; undefined: it had none. */
  readonly backAt: number | undefined;
}

async function readEstates(arena: Arena, kills: readonly Kill[]): Promise<readonly Estate[]> {
  const registrations = await readRegistrations(arena.database);
  const changes = (await readChanges(arena.database)).filter((change) => change.oldState === "active" && change.worker !== null);
  const byWorker = Map.groupBy(changes, (change) => change.worker as string);
  return kills.map((kill) => {
    // Process ids come again in a long run.
    const before = kills.findLast(({ pid, at }) => pid === kill.pid && at < kill.at)?.at ?? 0;
    const own = registrations.filter(({ pid, at }) => pid === kill.pid && at > before && at < kill.at + NOTED_EARLY_MS);
    const back = own.flatMap(({ id }) => byWorker.get(id) ?? []).filter(({ at, newState }) => newState === "retry" && at > kill.at);
    return {
      kill,
      inFlight: new Set(back.map(({ id }) => id)),
      backAt: back.length === 0 ? undefined : Math.max(...back.map(({ at }) => at)),
    };
  });
}

/** Milliseconds from each kill to the registration of a process that made up for it: the first that has not made up for an earlier one. */
async function readReplacements(arena: Arena, kills: readonly Kill[]): Promise<number[]> {
  const known = new Map((await readRegistrations(arena.database)).map(({ id, at }) => [id, at]));
  const later = [...known.values()].slice(PROCESSES);
  return kills.map(({ at }) => {
    const next = later.findIndex((registeredAt) => registeredAt > at);
    return next < 0 ? Number.POSITIVE_INFINITY : (later.splice(next, 1)[0] ?? 0) - at;
  });
}

async function judgeKills(arena: Arena, kills: readonly Kill[], restMs: number): Promise<Record<string, number>> {
  const verdict = await arena.judge();
  const estates = await readEstates(arena, kills);
  const estateOf = ({ first }: Duplicate): Estate | undefined =>
    estates.find(({ kill }) => kill.pid === first.pid && kill.at + NOTED_EARLY_MS >= first.startedAt);
  const foreign = verdict.duplicates.filter((duplicate) => estateOf(duplicate)?.inFlight.has(duplicate.first.id) !== true);
  const repeated = Map.groupBy(verdict.duplicates, estateOf);
  const perKill = estates.map((estate) => repeated.get(estate)?.length ?? 0);
  const back = estates.flatMap(({ kill, backAt }) => (backAt === undefined ? [] : [backAt - kill.at]));
  const replaced = await readReplacements(arena, kills);
  arena.require(verdict.accepted >= kills.length * PER_KILL, `only ${verdict.accepted} messages for ${kills.length} kills`);
  arena.require(foreign.length === 0, `${foreign.length} messages ran again that were not in flight of a killed process`);
  arena.requireInTime(quantile(back, 0.99), 500, `work back p99 ${round(quantile(back, 0.99))} ms, allowed are 500`);
  arena.requireInTime(restMs, REPLACED_MS, `a replacement at rest took ${round(restMs)} ms, allowed are ${REPLACED_MS}`);
  const allowed = Math.max(REPLACED_MS, REPLACED_TO_REST * restMs);
  arena.requireInTime(
    quantile(replaced, 0.95),
    allowed,
    `replaced p95 ${round(quantile(replaced, 0.95))} ms, allowed are ${round(allowed)}`,
  );
  return {
    kills: kills.length,
    ...summary(verdict),
    duplicates_of_ended: verdict.duplicates.filter(({ first }) => first.endedAt !== undefined).length,
    duplicates_per_kill_max: Math.max(...perKill),
    in_flight_max: Math.max(...estates.map(({ inFlight }) => inFlight.size)),
    ...spread("work_back", back),
    ...spread("replaced", replaced),
    replaced_at_rest_ms: round(restMs),
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
  arena.requireInTime(quantile(rescued, 1), 15_000, `rescued after ${round(quantile(rescued, 1))} ms, allowed are 15000`);
  if (withChildrenGoneMs !== undefined)
    arena.requireInTime(
      quantile(gone, 1),
      withChildrenGoneMs,
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
  await waitFor(async () => (await arena.heldBy(ids)) >= 3, { what: "it to work" });
  const at = now();
  process.kill(pid, "SIGSTOP");
  const held = await arena.heldBy(ids);
  arena.require(held > 0, "it held nothing when it stood still");
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
  arena.requireInTime(killed, 11_000, `killed after ${round(killed)} ms, allowed are 11000`);
  arena.requireInTime(rescued, 12_000, `rescued after ${round(rescued)} ms, allowed are 12000`);
  return { ...summary(verdict), held, killed_ms: round(killed), rescued_ms: round(rescued), replaced_ms: round(replaced) };
}

async function freezeFleet(arena: Arena): Promise<Record<string, number>> {
  const frozen = await arena.fleet({ processes: 2 });
  const pids = frozen.workers();
  const ids = await frozen.workerIds(pids);
  const sent = await arena.sendMany(200, Note, () => ({ sleepMs: arena.random.integer(1_000, 4_000) }));
  await waitFor(async () => (await arena.heldBy(ids)) >= 20, { what: "work in flight" });
  const at = now();
  frozen.program.signalGroup("SIGSTOP");
  const held = await arena.heldBy(ids);
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
  const refused = frozen.logged(/lease lost: the late outcome was not recorded/);
  arena.require(late === 0, `${late} late settlements were accepted`);
  arena.require(refused === held, `${refused} of ${held} late outcomes were refused`);
  arena.requireInTime(rescued, 15_000 + 3_000, `rescued after ${round(rescued)} ms`);
  return {
    ...summary(verdict),
    sent: sent.length,
    rescued_ms: round(rescued),
    held,
    late_refused: refused,
    late_accepted: late,
    back_ms: round(back),
  };
}

export const killRows: readonly Row[] = [
  { id: "F01", title: "worker processes are killed at random under load", n: 1_000, gate: 100, run: killWorkers },
  {
    id: "F02",
    title: "the supervisor is killed",
    n: 5,
    gate: 1,
    waits: 6,
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
    waits: 16,
    run: (arena) =>
      loseFleet(arena, {
        strike: (fleet) => {
          fleet.program.signalGroup("SIGKILL");
          return [fleet.supervisor];
        },
      }),
  },
  { id: "F04a", title: "a worker process stands still for longer than its lease", n: 1, gate: 1, waits: 14, run: freezeChild },
  { id: "F04b", title: "a whole fleet stands still for 30 s and wakes up", n: 1, gate: 1, waits: 33, run: freezeFleet },
];
