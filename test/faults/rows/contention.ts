import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pause, waitFor } from "@symphony/core/testing";
import pg from "pg";
import { Flaky, Note, Slow } from "../../fixtures/messages.ts";
import { withAddress } from "../../support/database.ts";
import { now } from "../../support/journal.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import { isAlive } from "../fleet.ts";
import type { Figures, Row } from "../row.ts";

/** The answer to a claim is lost: messages are in flight for a worker that has never heard of them. */
async function loseClaimReply(arena: Arena): Promise<Figures> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: arena.server.port }, arena.seed);
  try {
    const fleet = await arena.fleet({ processes: 1, dsn: withAddress(arena.database.connectionString, "127.0.0.1", proxy.port) });
    const pids = fleet.workers().join();
    const waits: number[] = [];
    for (let i = 0; waits.length < arena.n && i < arena.n * 5; i++) {
      // By the name of its prepared statement; half of the connections are reset, half stay half-open.
      proxy.dropReplies({ marker: "claim_", ending: i % 2 === 0 ? "reset" : "halfOpen" });
      const at = now();
      const { value } = await arena.send(Note, {});
      const start = await waitFor(() => arena.runsOf(value)[0], { timeoutMs: 30_000, intervalMs: 20, what: "the message to run" });
      // Sooner: the claim whose answer was lost had found nothing yet.
      if (start.at - at > 3_000) waits.push(start.at - at);
    }
    await arena.drain();
    arena.require(fleet.workers().join() === pids, "the worker process was restarted");
    await fleet.stop();
    const verdict = await arena.judge();
    arena.require(waits.length === arena.n, `only ${waits.length} claims were lost with a message in them`);
    arena.requireInTime(quantile(waits, 1), 15_000, `rescued after up to ${round(quantile(waits, 1))} ms, allowed are 15000`);
    return { ...summary(verdict), replies_lost: proxy.dropped, ...spread("rescued", waits) };
  } finally {
    await proxy.close();
  }
}

/** A process whose driver never answers a claim again: its event loop turns, its leases are renewed, and it takes nothing. */
async function stallClaims(arena: Arena): Promise<Figures> {
  const [config, stall] = [join(arena.directory, "symphony.config.mjs"), join(arena.directory, "stall")];
  writeFileSync(stall, "");
  writeFileSync(
    config,
    `import { rmSync } from "node:fs";
import pg from ${JSON.stringify(import.meta.resolve("pg"))};
let stalled = false;
try { if (process.argv[1].includes("child-main")) { rmSync(${JSON.stringify(stall)}); stalled = true; } } catch {}
const { query } = pg.Client.prototype;
pg.Client.prototype.query = function (config, ...rest) {
  return stalled && config?.name?.startsWith("claim_") ? new Promise(() => {}) : query.call(this, config, ...rest);
};
export { default } from ${JSON.stringify(arena.fixture)};\n`,
  );
  // Whichever process loads it first is the one.
  const fleet = await arena.fleet({ processes: 1, config });
  const [stuck] = fleet.workers();
  const at = now();
  const sent = await arena.sendMany(20, Note, () => ({}));
  await waitFor(() => sent.every(({ value }) => arena.runsOf(value, "end").length > 0), {
    timeoutMs: 60_000,
    intervalMs: 50,
    what: "a fresh process to take the messages",
  });
  const healedMs = now() - at;
  await waitFor(() => !isAlive(stuck ?? 0), { timeoutMs: 30_000, what: "the stuck process to be gone" });
  const again = fleet.workers().length;
  await arena.drain();
  const { code } = await fleet.stop();
  const verdict = await arena.judge();
  arena.require(code === 0 && again === 1, `${again} processes, exit code ${code}`);
  arena.require(fleet.logged(/lets ready messages lie/) === 1, "the log does not tell");
  arena.requireInTime(healedMs, 30_000, `healed after ${round(healedMs)} ms`);
  return { ...summary(verdict), healed_ms: round(healedMs) };
}

/** Takes every connection that the server has left. */
async function takeAllConnections(connectionString: string): Promise<pg.Client[]> {
  const clients: pg.Client[] = [];
  for (;;) {
    const client = new pg.Client({ connectionString, application_name: "hog" });
    client.on("error", () => undefined);
    try {
      await client.connect();
    } catch {
      return clients;
    }
    clients.push(client);
  }
}

/** No connection is to be had: what has one goes on, keeps its leases, and nothing is rescued that is not dead. */
async function exhaustConnections(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet({ processes: 2, concurrency: 10 });
  const long = await arena.sendMany(10, Slow, () => ({ sleepMs: 18_000 }));
  await waitFor(() => long.every(({ value }) => arena.runsOf(value).length > 0), { timeoutMs: 20_000, what: "all in flight" });
  const { connectionString } = arena.server;
  let hogs = await takeAllConnections(connectionString);
  const at = now();
  let liveness = 200;
  while (now() - at < 14_000) {
    const { status } = await fleet.probe("/livez");
    if (status !== 200) liveness = status;
    // Whatever the fleet lets go of is taken from it.
    hogs = [...hogs, ...(await takeAllConnections(connectionString))];
    await pause(500);
  }
  // One that starts now finds the server full, and says so.
  const late = await arena.fleet({ processes: 1, unready: true });
  const { code } = await late.program.waitForExit(30_000);
  const lost = fleet.logged(/lease could not be renewed in time|was reaped|took back the work/);
  await Promise.all(hogs.map((hog) => hog.end()));
  const freeAt = now();
  const { value } = await arena.send(Note, {});
  const start = await waitFor(() => arena.runsOf(value)[0], { timeoutMs: 20_000, intervalMs: 20, what: "a message to run again" });
  await arena.drain();
  await fleet.stop();
  const verdict = await arena.judge();
  arena.require(hogs.length > 0, "the server was not full");
  arena.require(liveness === 200, `/livez said ${liveness}`);
  arena.require(lost === 0, `${lost} leases were lost, or taken from the living`);
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages ran twice`);
  arena.require(code === 75, `a fleet that starts meanwhile ended with ${code}`);
  return { ...summary(verdict), hogs: hogs.length, late_exit_code: code ?? -1, again_ms: round(start.at - freeAt) };
}

/** Every statement may be rolled back for the sake of another one: repeated, and never told to a handler. */
async function rollBackAtRandom(arena: Arena): Promise<Figures> {
  const [isolation] = await arena.database.query<{ level: string }>("SELECT current_setting('default_transaction_isolation') AS level");
  await arena.database.query(`
    CREATE FUNCTION unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF random() < (CASE TG_OP WHEN 'INSERT' THEN 0.002 ELSE 0.03 END) THEN RAISE EXCEPTION 'as if by chance' USING ERRCODE = CASE WHEN random() < 0.5 THEN '40P01' ELSE '40001' END; END IF;
      RETURN coalesce(NEW, OLD);
    END $$;
    CREATE TRIGGER unlucky BEFORE INSERT OR UPDATE OR DELETE ON symphony.job FOR EACH ROW EXECUTE FUNCTION unlucky();
    CREATE TRIGGER unlucky BEFORE INSERT OR UPDATE OR DELETE ON symphony.messenger_bundle FOR EACH ROW EXECUTE FUNCTION unlucky()`);
  const fleet = await arena.fleet({ processes: 3, concurrency: 10 });
  const pids = fleet.workers().join();
  for (let i = 0; i < arena.n / 50; i++) await arena.sendMany(50, Note, () => ({ sleepMs: arena.random.integer(0, 20) }));
  const failing = await arena.sendMany(20, Flaky, () => ({ failures: 2 }));
  await arena.drain();
  const [errors] = await arena.database.query<{ n: number }>(
    "SELECT xact_rollback::int AS n FROM pg_stat_database WHERE datname = current_database()",
  );
  arena.require(fleet.workers().join() === pids, "a worker process was restarted");
  await fleet.stop();
  const verdict = await arena.judge();
  const wrong = failing.filter(({ id, value }) => id !== undefined && arena.runsOf(value).length !== 3).length;
  const paid = arena
    .entries()
    .filter((entry) => entry.kind === "start" && entry.attempt > 1 && !failing.some(({ value }) => value === entry.value));
  arena.require(isolation?.level === "serializable", `the isolation level is ${isolation?.level}`);
  arena.require(verdict.deadLettered === 0, `${verdict.deadLettered} dead letters`);
  arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} messages ran twice`);
  arena.require(paid.length === 0 && wrong === 0, `${paid.length + wrong} messages have a wrong number of attempts`);
  arena.require((errors?.n ?? 0) > 0, "nothing was rolled back");
  return { ...summary(verdict), rolled_back: errors?.n ?? -1 };
}

export const contentionRows: readonly Row[] = [
  { id: "F36", title: "the reply to a claim is lost", n: 6, gate: 2, waits: 10, run: loseClaimReply },
  { id: "STALL", title: "a worker process that claims nothing", n: 1, gate: 1, waits: 32, run: stallClaims },
  { id: "F40", title: "no connection is to be had", n: 1, gate: 1, waits: 20, server: { max_connections: 40 }, run: exhaustConnections },
  {
    id: "F44",
    title: "deadlocks and serialization failures (n messages)",
    n: 5_000,
    gate: 1_000,
    server: { default_transaction_isolation: "serializable" },
    run: rollBackAtRandom,
  },
];
