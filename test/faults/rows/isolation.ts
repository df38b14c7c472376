import { pause, waitFor } from "@symphony/core/testing";
import { Note, Slow } from "../../fixtures/messages.ts";
import { readChanges } from "../../support/audit-trigger.ts";
import { withAddress } from "../../support/database.ts";
import { now } from "../../support/journal.ts";
import { startTcpProxy, type TcpProxy } from "../../support/tcp-proxy.ts";
import { type Arena, summary } from "../arena.ts";
import { round, spread } from "../figures.ts";
import { cpuSeconds, type Fleet, isAlive } from "../fleet.ts";
import { Load } from "../load.ts";
import type { Figures, Row } from "../row.ts";

/** A stretch of network of one fleet's own, for as long as the row takes. */
async function behindProxy(arena: Arena, run: (proxy: TcpProxy, dsn: string) => Promise<Figures>): Promise<Figures> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: arena.server.port }, arena.seed);
  try {
    return await run(proxy, withAddress(arena.database.connectionString, "127.0.0.1", proxy.port));
  } finally {
    // What runs behind it ends first: it must not meet an outage that the row has not asked for.
    await arena.processes.end();
    await proxy.close();
  }
}

/** Settlements in the name of these workers after a moment. */
async function lateSettlements(arena: Arena, ids: readonly string[], after: number): Promise<number> {
  const changes = await readChanges(arena.database);
  return changes.filter((change) => change.oldState === "active" && ids.includes(change.worker ?? "") && change.at > after).length;
}

/** The only fleet there is stands still for `n` seconds and wakes up: no stampede, and no killing of what has woken with it. */
async function freezeAlone(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2 });
  const load = new Load(arena, { backlog: 60, turn: 40, sleepMs: [50, 300] });
  await pause(2_000);
  const pids = fleet.workers();
  const at = now();
  fleet.program.signalGroup("SIGSTOP");
  arena.fault({ name: "SIGSTOP of everything", from: at, until: at + arena.n * 1_000 + 5_000, pids, overlap: true });
  await pause(arena.n * 1_000);
  const cpu = (): number => [fleet.supervisor, ...pids].reduce((sum, pid) => sum + (isAlive(pid) ? cpuSeconds(pid) : 0), 0);
  const before = cpu();
  fleet.program.signalGroup("SIGCONT");
  const thawed = now();
  const first = await waitFor(() => arena.entries().find((entry) => entry.kind === "end" && entry.at > thawed + 100), {
    timeoutMs: 30_000,
    intervalMs: 20,
    what: "a handler to end again",
  });
  const backMs = (first.kind === "end" ? first.at : Number.NaN) - thawed;
  await pause(5_000);
  const used = cpu() - before;
  await load.stop();
  await arena.drain();
  const killed = pids.filter((pid) => !isAlive(pid)).length;
  const { code } = await fleet.stop();
  const verdict = await arena.judge();
  arena.require(code === 0, `exit code ${code}`);
  arena.require(killed === 0, `${killed} processes were killed for having stood still with their supervisor`);
  arena.requireInTime(backMs, 10_000, `working again after ${round(backMs)} ms`);
  return { ...summary(verdict), frozen_s: arena.n, back_ms: round(backMs), cpu_s_in_5_s: round(used, 2) };
}

/** Milliseconds from the fork until a fleet with a schema to set up is ready, on a busy machine. */
const START_MS = 3_000;

/**
 * SIGTERM at a random moment of the start, the set-up of its schema included, `n` times: it ends in order each time,
 * leaves nothing behind, and the schema is one that the next start can use.
 */
async function stopWhileStarting(arena: Arena): Promise<Figures> {
  const took: number[] = [];
  const counts = { before_node: 0, not_begun: 0, set_up: 0, in_between: 0 };
  for (let i = 0; i < arena.n; i++) {
    const schema = `start_${i}`;
    const fleet = await arena.fleet({ processes: 2, unready: true, transport: { applicationName: schema, schema } });
    // Spread over the whole start, however few they are.
    await pause(((i + arena.random.next()) / arena.n) * START_MS);
    const at = now();
    const exit = fleet.program.waitForExit(30_000);
    fleet.program.signal("SIGTERM");
    const { code, signal } = await exit;
    took.push(now() - at);
    // Before Node has begun, nobody is there to hear the signal: the kernel ends the process.
    if (signal === "SIGTERM") counts.before_node += 1;
    else arena.require(code === 0, `exit code ${code} ${signal ?? ""}`);
    await waitFor(async () => (await connectionsOf(arena, schema)) === 0, { timeoutMs: 10_000, what: "its connections to be gone" });
    const state = await stateOf(arena, schema);
    counts[state] += 1;
    if (state === "in_between") {
      const next = await arena.fleet({ processes: 1, transport: { schema } });
      arena.require((await next.stop()).code === 0, `a set-up that was interrupted could not be finished (${schema})`);
    }
  }
  arena.requireInTime(Math.max(...took), 12_000, `took up to ${round(Math.max(...took))} ms`);
  return { ...counts, ...spread("stop", took) };
}

async function connectionsOf(arena: Arena, applicationName: string): Promise<number> {
  const [row] = await arena.database.query<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1", [
    applicationName,
  ]);
  return row?.n ?? 0;
}

/** Compared with the schema that was set up at leisure. */
async function stateOf(arena: Arena, schema: string): Promise<"not_begun" | "set_up" | "in_between"> {
  const [row] = await arena.database.query<{ own: number; full: number }>(
    `SELECT (count(*) FILTER (WHERE n.nspname = $1))::int AS own, (count(*) FILTER (WHERE n.nspname = 'symphony'))::int AS full
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace`,
    [schema],
  );
  if (row === undefined || row.own === 0) return "not_begun";
  return row.own === row.full ? "set_up" : "in_between";
}

/** The same fleet twice: same configuration, same directory, same machine. Both work, and both are known. */
async function startTwice(arena: Arena): Promise<Figures> {
  const fleets = await Promise.all([arena.fleet({ processes: 2 }), arena.fleet({ processes: 2 })]);
  const pids = fleets.map((fleet) => fleet.workers());
  const [known] = await arena.database.query<{ n: number }>("SELECT count(*)::int AS n FROM symphony.messenger_worker");
  await arena.sendMany(400, Note, () => ({ sleepMs: 20 }));
  await arena.drain();
  const done = pids.map((some) => arena.entries().filter((entry) => entry.kind === "end" && some.includes(entry.pid)).length);
  const [one, two] = fleets;
  await one?.stop();
  await arena.sendMany(50, Note, () => ({}));
  await arena.drain();
  await two?.stop();
  const verdict = await arena.judge();
  arena.require(known?.n === 4, `${known?.n} workers are known, there are 4`);
  arena.require(
    done.every((count) => count > 0),
    `they have handled ${done.join(" and ")} messages`,
  );
  arena.require(one?.healthPort !== two?.healthPort, "they share a port");
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages ran twice`);
  return { ...summary(verdict), handled: done.join("/") };
}

/**
 * A slow network, with stalls of everything: slower, and nobody takes from the living. A stall may outlast the patience of
 * a worker with its own lease; what that gives up runs again.
 */
async function slowNetwork(arena: Arena): Promise<Figures> {
  return behindProxy(arena, async (proxy, dsn) => {
    const fleet = await arena.fleet({ processes: 2, dsn });
    const pids = fleet.workers().join();
    proxy.delay(500, 200);
    const load = new Load(arena, { backlog: 40, turn: 20, sleepMs: [50, 300] });
    const at = now();
    let stalls = 0;
    while (now() - at < arena.n * 1_000) {
      await pause(1_000);
      // One second in twenty begins a stall.
      if (arena.random.next() > 0.05) continue;
      arena.fault({ name: "stall", from: now(), until: now() + 13_000, overlap: true });
      stalls += 1;
      proxy.delay(5_000, 500);
      await pause(2_000);
      proxy.delay(500, 200);
    }
    await load.stop();
    proxy.delay(0);
    await arena.drain(90_000);
    const lost = fleet.logged(/took back the work/);
    arena.require(fleet.workers().join() === pids, "a worker process was restarted");
    await fleet.stop();
    const handled = arena.entries().filter((entry) => entry.kind === "end").length;
    const verdict = await arena.judge();
    arena.require(lost === 0, `${lost} times work was taken from the living`);
    return { ...summary(verdict), seconds: arena.n, stalls, handled_per_s: round(handled / arena.n, 1) };
  });
}

/** One machine is cut off for `n` seconds, silently and for new connections too; another one takes over. */
async function partition(arena: Arena): Promise<Figures> {
  return behindProxy(arena, async (proxy, dsn) => {
    const cutOff = await arena.fleet({ processes: 2, dsn });
    const pids = cutOff.workers();
    const ids = await cutOff.workerIds(pids);
    await arena.sendMany(16, Slow, () => ({ sleepMs: 4_000 }));
    await waitFor(async () => (await arena.heldBy(ids)) >= 16, { timeoutMs: 20_000, what: "work in flight" });
    const at = now();
    arena.fault({ name: "partition", from: at, until: at + arena.n * 1_000 + 5_000, pids, overlap: true });
    proxy.blackHole({ later: true });
    const keeper = await arena.fleet({ processes: 1, concurrency: 40 });
    await waitFor(async () => (await arena.heldBy(ids)) === 0, { timeoutMs: 25_000, intervalMs: 20, what: "its work to be elsewhere" });
    const movedMs = now() - at;
    await pause(Math.max(0, arena.n * 1_000 - (now() - at)));
    proxy.heal();
    proxy.cut();
    const healed = now();
    await cutOff.ready(40_000);
    await keeper.stop();
    await arena.sendMany(20, Note, () => ({}));
    await arena.drain();
    const backMs = now() - healed;
    const same = cutOff.workers().join() === pids.join();
    const late = await lateSettlements(arena, ids, at + movedMs);
    await stopAll([cutOff]);
    const verdict = await arena.judge();
    arena.requireInTime(movedMs, 15_000 + 3_000, `its work was elsewhere after ${round(movedMs)} ms`);
    arena.require(late === 0, `${late} late settlements were accepted`);
    arena.require(same, "worker processes were restarted");
    return { ...summary(verdict), away_s: arena.n, moved_ms: round(movedMs), back_ms: round(backMs), late_accepted: late };
  });
}

const stopAll = (fleets: readonly Fleet[]): Promise<unknown> => Promise.all(fleets.map((fleet) => fleet.stop()));

export const isolationRows: readonly Row[] = [
  { id: "F05", title: "the only fleet stands still (n seconds) and wakes up", n: 60, run: freezeAlone },
  { id: "F10", title: "SIGTERM during the start (n times)", n: 200, gate: 8, waits: 24, run: stopWhileStarting },
  { id: "F29", title: "the same fleet twice", n: 1, gate: 1, waits: 3, run: startTwice },
  { id: "F37", title: "a slow network with stalls (n seconds)", n: 60, run: slowNetwork },
  { id: "F38", title: "a machine is cut off (n seconds)", n: 60, run: partition },
];
