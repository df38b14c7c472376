import { pause, waitFor } from "@symphony/core/testing";
import { Note, Slow } from "../../fixtures/messages.ts";
import { withAddress } from "../../support/database.ts";
import { now } from "../../support/journal.ts";
import { allMessages } from "../../support/messages.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { type Arena, summary } from "../arena.ts";
import { quantile, round, spread } from "../figures.ts";
import type { Fleet } from "../fleet.ts";
import { Load } from "../load.ts";
import type { Figures, Row } from "../row.ts";

/** Milliseconds from a moment until the first handler began after it. */
function untilHandling(arena: Arena, from: number, timeoutMs = 40_000): Promise<number> {
  const first = (): number | undefined => {
    const found = arena.entries().find((entry) => entry.kind === "start" && entry.at > from);
    return found?.kind === "start" ? found.at - from : undefined;
  };
  return waitFor(first, { timeoutMs, intervalMs: 50, what: "a handler to begin" });
}

/** The same processes before and after: an outage is no reason to start anything again. */
function requireSame(arena: Arena, fleet: Fleet, before: readonly number[]): void {
  const after = fleet.workers();
  arena.require(before.join() === after.join(), `worker processes were restarted: ${before} became ${after}`);
}

async function terminateBackends(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet();
  const pids = fleet.workers();
  const load = new Load(arena, { backlog: 100, turn: 50 });
  const resumed: number[] = [];
  for (let i = 0; i < arena.n; i++) {
    await pause(2_000);
    const at = now();
    await arena.database.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    arena.fault({ name: "backends terminated", from: at, until: at + 1_000 });
    resumed.push(await untilHandling(arena, at + 20));
  }
  await load.stop();
  await arena.drain();
  requireSame(arena, fleet, pids);
  await fleet.stop();
  const verdict = await arena.judge();
  const finished = verdict.duplicates.filter(({ first }) => first.endedAt !== undefined).length;
  arena.require(finished === 0, `${finished} finished handlers ran again`);
  arena.requireInTime(quantile(resumed, 1), 1_000, `handling again after up to ${round(quantile(resumed, 1))} ms, allowed are 1000`);
  return { ...summary(verdict), ...spread("resumed", resumed) };
}

async function restartServer(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet();
  const pids = fleet.workers();
  const load = new Load(arena, { backlog: 100, turn: 50 });
  const resumed: number[] = [];
  for (let i = 0; i < arena.n; i++) {
    await pause(arena.random.integer(1_500, 3_000));
    const at = now();
    await arena.server.restart("immediate");
    const accepts = now();
    arena.fault({ name: "crash of the server", from: at - 1_000, until: accepts + 1_000 });
    resumed.push(await untilHandling(arena, accepts));
  }
  await load.stop();
  await arena.drain(90_000);
  requireSame(arena, fleet, pids);
  await fleet.stop();
  const verdict = await arena.judge();
  arena.requireInTime(quantile(resumed, 1), 3_000, `handling again after up to ${round(quantile(resumed, 1))} ms, allowed are 3000`);
  return { ...summary(verdict), ...spread("resumed", resumed) };
}

interface Outage {
  readonly liveness: number;
  readonly unready: number;
  readonly refusedMs: number;
  readonly resumedMs: number;
}

/** With all slots busy when it begins: whoever has met it is waiting when the database is back. */
async function takeDatabaseAway(arena: Arena, fleet: Fleet, seconds: number): Promise<Outage> {
  const busy = await arena.sendMany(200, Note, () => ({ sleepMs: 300 }));
  await waitFor(() => busy.some(({ value }) => arena.runsOf(value).length > 0), { timeoutMs: 20_000, what: "handlers to run" });
  const at = now();
  await arena.server.stop("fast");
  let liveness = 200;
  let unready = 0;
  while (now() - at < seconds * 1_000) {
    const { status } = await fleet.probe("/livez");
    if (status !== 200) liveness = status;
    if ((await fleet.probe("/readyz")).status === 503) unready += 1;
    await pause(500);
  }
  const dispatched = now();
  const sent = await arena.send(Note, { sleepMs: 0 });
  const refusedMs = now() - dispatched;
  arena.require(sent.id === undefined, "a dispatch was accepted by nobody");
  await arena.server.start();
  const accepts = now();
  arena.fault({ name: "the database is away", from: at - 1_000, until: accepts + 1_000 });
  await arena.sendMany(50, Note, () => ({ sleepMs: 10 }));
  const resumedMs = await untilHandling(arena, accepts);
  await arena.drain();
  return { liveness, unready, refusedMs, resumedMs };
}

/** An outage that just costs the leases, while workers wait longest between two tries, and one of `n` seconds. */
async function stopServer(arena: Arena): Promise<Figures> {
  const fleet = await arena.fleet();
  const pids = fleet.workers();
  const short = await takeDatabaseAway(arena, fleet, 7);
  const long = await takeDatabaseAway(arena, fleet, arena.n);
  requireSame(arena, fleet, pids);
  await fleet.stop();
  const verdict = await arena.judge();
  for (const { liveness, refusedMs, resumedMs } of [short, long]) {
    arena.require(liveness === 200, `/livez said ${liveness}`);
    arena.requireInTime(refusedMs, 6_000, `a dispatch took ${round(refusedMs)} ms to fail`);
    arena.requireInTime(resumedMs, 3_000, `handling again after ${round(resumedMs)} ms, allowed are 3000`);
  }
  arena.require(long.unready > 0, "/readyz did not tell");
  const resumed = `${round(short.resumedMs)}/${round(long.resumedMs)}`;
  return { ...summary(verdict), away_s: `7/${arena.n}`, refused_ms: round(long.refusedMs), resumed_ms: resumed };
}

async function halfOpen(arena: Arena): Promise<Figures> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: arena.server.port }, arena.seed);
  try {
    const fleet = await arena.fleet({ dsn: withAddress(arena.database.connectionString, "127.0.0.1", proxy.port) });
    const pids = fleet.workers();
    const load = new Load(arena, { backlog: 60, turn: 40 });
    const again: number[] = [];
    for (let i = 0; i < arena.n; i++) {
      await pause(2_000);
      proxy.blackHole();
      const at = now();
      arena.fault({ name: "half-open connections", from: at, until: at + 12_000, overlap: true });
      // Handlers that were under way go on: what counts is the first message that was claimed anew.
      again.push(await untilHandling(arena, at + 300));
    }
    await load.stop();
    await arena.drain();
    requireSame(arena, fleet, pids);
    await fleet.stop();
    const verdict = await arena.judge();
    arena.requireInTime(quantile(again, 1), 5_000, `working again after up to ${round(quantile(again, 1))} ms, allowed are 5000`);
    return { ...summary(verdict), ...spread("again", again) };
  } finally {
    await proxy.close();
  }
}

/** The answer to an insert is lost after its commit: the caller cannot know, and asks again under the same key. */
async function loseDispatchReply(arena: Arena): Promise<Figures> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: arena.server.port }, arena.seed);
  const via = await arena.connect(withAddress(arena.database.connectionString, "127.0.0.1", proxy.port));
  let unknown = 0;
  try {
    for (let i = 0; i < arena.n; i++) {
      const key = `reply-${i}`;
      proxy.dropReplies({ marker: key });
      const first = await arena.send(Note, { sleepMs: 0 }, { via, idempotencyKey: key, writer: "first" });
      if (first.id === undefined) unknown += 1;
      const second = await via.dispatch(Note, { value: first.value, sleepMs: 0 }, { idempotencyKey: key });
      arena.journal.write({ kind: "ok", value: first.value, id: second.messageId, at: now() });
    }
    const [row] = await arena.database.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM symphony.job WHERE singleton_key LIKE 'reply-%' OR data -> 'payload' ->> 'value' LIKE 'first-%'",
    );
    const fleet = await arena.fleet();
    await arena.drain();
    await fleet.stop();
    const verdict = await arena.judge();
    arena.require(row?.n === arena.n, `${row?.n} messages for ${arena.n} keys`);
    arena.require(proxy.dropped > 0, "no reply was lost");
    return { ...summary(verdict), replies_lost: proxy.dropped, told_unknown: unknown, rows: row?.n ?? -1 };
  } finally {
    await via.close();
    await proxy.close();
  }
}

/** The acknowledgement's answer is lost: the handler has run, and does not run again. */
async function loseSettleReply(arena: Arena): Promise<Figures> {
  const proxy = await startTcpProxy({ host: "127.0.0.1", port: arena.server.port }, arena.seed);
  try {
    const fleet = await arena.fleet({ processes: 1, dsn: withAddress(arena.database.connectionString, "127.0.0.1", proxy.port) });
    // On a busy machine the acknowledgement may be gone before it is known what to look for.
    for (let i = 0; i < arena.n || (proxy.dropped === 0 && i < arena.n + 5); i++) {
      const { id = "", value } = await arena.send(Slow, { sleepMs: 500 });
      await waitFor(() => arena.entries().some((entry) => entry.kind === "start" && entry.value === value), {
        what: "the handler to begin",
      });
      // An acknowledgement names the message in a list, or the worker whose bundle it is in, as no other statement does.
      const [held] = await arena.database.query<{ name: string }>(
        `SELECT CASE WHEN EXISTS (SELECT FROM symphony.messenger_bundle WHERE $1::uuid = ANY (ids)) THEN worker ELSE id::text END AS name
         FROM ${allMessages()} WHERE id = $1`,
        [id],
      );
      proxy.dropReplies({ marker: `{"${held?.name}"}` });
      await arena.drain();
    }
    await fleet.stop();
    const verdict = await arena.judge();
    arena.require(proxy.dropped > 0, "no reply was lost");
    arena.require(verdict.duplicates.length === 0, `${verdict.duplicates.length} finished handlers ran again`);
    return { ...summary(verdict), replies_lost: proxy.dropped };
  } finally {
    await proxy.close();
  }
}

/** Milliseconds until five messages in a row have begun sooner than polling could explain. */
async function untilNotified(arena: Arena): Promise<number> {
  const at = now();
  for (let inARow = 0; inARow < 5 && now() - at < 20_000; ) {
    await pause(arena.random.integer(100, 300));
    const sentAt = now();
    const { value } = await arena.send(Note, {});
    const start = await waitFor(() => arena.runsOf(value)[0], { what: "the handler to begin" });
    inARow = start.at - sentAt < 150 ? inARow + 1 : 0;
  }
  return now() - at;
}

/** No notification at all: polling finds everything. Then nobody disturbs the listener any more, and it is heard again. */
async function loseNotifications(arena: Arena): Promise<Figures> {
  const quiet = await arena.connect(arena.database.connectionString, { notify: false });
  const fleet = await arena.fleet();
  const waits: number[] = [];
  try {
    for (let i = 0; i < arena.n; i++) {
      await arena.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
      );
      await pause(arena.random.integer(100, 900));
      const at = now();
      const { value } = await arena.send(Note, { sleepMs: 0 }, { via: quiet });
      const start = await waitFor(() => arena.entries().find((entry) => entry.kind === "start" && entry.value === value), {
        what: "the handler to begin",
      });
      if (start.kind === "start") waits.push(start.at - at);
    }
    const healed = await untilNotified(arena);
    await arena.drain();
    await fleet.stop();
    const verdict = await arena.judge();
    arena.requireInTime(healed, 5_000, `notifications were heard again after ${round(healed)} ms, allowed are 5000`);
    arena.requireInTime(quantile(waits, 1), 1_250, `waited up to ${round(quantile(waits, 1))} ms; the poll interval is 1000`);
    return { ...summary(verdict), healed_ms: round(healed), ...spread("wait", waits) };
  } finally {
    await quiet.close();
  }
}

export const databaseRows: readonly Row[] = [
  { id: "F31", title: "all backends are terminated every 2 s", n: 10, gate: 3, run: terminateBackends },
  { id: "F32", title: "the server crashes and recovers under load", n: 20, gate: 3, run: restartServer },
  { id: "F33", title: "the database is away (n seconds)", n: 120, gate: 20, waits: 24, server: { max_connections: 100 }, run: stopServer },
  { id: "F34", title: "connections become half-open", n: 5, gate: 1, run: halfOpen },
  { id: "F35a", title: "the reply to a dispatch is lost after its commit", n: 20, gate: 3, waits: 2, run: loseDispatchReply },
  { id: "F35b", title: "the reply to an acknowledgement is lost", n: 5, gate: 1, waits: 2, run: loseSettleReply },
  { id: "F53", title: "notifications are lost", n: 20, gate: 5, run: loseNotifications },
];
