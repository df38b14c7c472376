import assert from "node:assert/strict";
import { test } from "node:test";
import { type Envelope, type Received, stamps } from "@symphony/core";
import { createSignals, waitFor } from "@symphony/core/testing";
import type { PgBossTransport } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, messages, receive, send, WORKER } from "./testing/messages.ts";
import { HoleProxy } from "./testing/proxy.ts";

const url = await testDatabase();
const schema = new TestSchema(url);
const sender = await schema.open({ queues: ["alpha", "beta"] });

interface Session {
  readonly pid: number;
  readonly query: string;
}

/** A transport that listens, by a name that the server knows it by. */
async function listening(name: string, more: { readonly poolSize?: number } = {}) {
  const transport = await schema.open({ queues: ["alpha"], applicationName: name, ...more });
  const signals = createSignals<{ woken: readonly string[] }>();
  const stop = await transport.onWake((queues) => signals.emit("woken", queues));
  const sessions = (): Promise<Session[]> =>
    schema.query<Session>("SELECT pid, query FROM pg_stat_activity WHERE application_name = $1", [name]);
  const [listener] = (await sessions()).filter(({ query }) => query.startsWith("LISTEN"));
  assert.ok(listener !== undefined, "one of its sessions listens");
  /** Sends when there is nothing, and waits until that was notified. */
  const heard = async (...sent: readonly Envelope[]): Promise<void> => {
    assert.deepEqual(await receive(transport, "alpha"), [], "the queue is known to be empty");
    await send(sender, ...sent);
    await signals.next("woken");
  };
  /** Receives what is sent, as a worker that had nothing before and was woken for it. */
  const notified = async (...sent: Parameters<typeof message>[]): Promise<readonly Received[]> => {
    await heard(...sent.map((each) => message(...each)));
    return take(transport);
  };
  return { transport, signals, stop, sessions, pid: listener.pid, heard, notified };
}

const take = (transport: PgBossTransport): Promise<readonly Received[]> =>
  transport.receive(100, { workerId: WORKER, queues: ["alpha"], notified: ["alpha"] });

const textsOf = (sessions: readonly Session[], pid: number): string => sessions.find((each) => each.pid === pid)?.query ?? "";

test("what was notified is claimed on the connection that heard of it, without waiting for the disk", async () => {
  const { notified, sessions, pid, stop } = await listening("listening-claims");
  assert.equal((await notified(["alpha"])).length, 1);
  const query = textsOf(await sessions(), pid);
  assert.match(query, /^UPDATE [\s\S]* SET state = 'active'/);
  assert.doesNotMatch(query, /set_config/, "the session itself does not wait");
  await stop();
});

test("several that were notified are received in order of delivery", async () => {
  const { notified, stop } = await listening("listening-order");
  const received = await notified(
    ["alpha", { n: 3 }],
    ["alpha", { n: 1 }, stamps.priority({ priority: 9 })],
    ["alpha", { n: 4 }],
    ["alpha", { n: 5 }, stamps.priority({ priority: 1 })],
    ["alpha", { n: 2 }, stamps.priority({ priority: 9 })],
  );
  const numbers = received.map(({ envelope }) => (envelope?.message.payload as { n: number } | undefined)?.n);
  assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
  await stop();
});

test("more than a few are received at once all the same", async () => {
  const { transport, heard, stop } = await listening("listening-many");
  await heard(...messages("alpha", 50));
  assert.equal((await take(transport)).length, 50);
  await stop();
});

test("a transport that listens no more, or has lost the connection, claims on another", async () => {
  const { transport, notified, sessions, pid, signals, stop } = await listening("listening-lost");
  assert.equal((await notified(["alpha"])).length, 1);
  await schema.query("SELECT pg_terminate_backend($1)", [pid]);
  await waitFor(async () => (await sessions()).every((each) => each.pid !== pid), { what: "the end of the session" });
  assert.deepEqual(await receive(transport, "alpha"), []);
  await send(sender, message("alpha"));
  assert.equal((await take(transport)).length, 1, "nobody needs to listen for it");
  // It comes back by itself, and is claimed on again.
  await signals.next("woken");
  assert.equal((await notified(["alpha"])).length, 1);
  const claims = (await sessions()).filter(({ query }) => /^UPDATE [\s\S]* SET state = 'active'/.test(query) && !/set_config/.test(query));
  assert.equal(claims.length, 1);
  await stop();
  assert.deepEqual(await receive(transport, "alpha"), []);
  await send(sender, message("alpha"));
  assert.equal((await take(transport)).length, 1);
});

test("a claim that has to wait for a lock leaves the connection, which goes on to listen", async () => {
  const { transport, signals, heard, stop } = await listening("listening-locked");
  await heard(message("alpha"));
  const admin = await schema.admin.connect();
  const { table } = await schema.queueOf("alpha");
  await admin.query(`BEGIN; LOCK TABLE ${schema.name}.${table} IN ACCESS EXCLUSIVE MODE`);
  const claiming = take(transport);
  await waitFor(async () => (await schema.query("SELECT FROM pg_locks WHERE NOT granted")).length > 0, { what: "the claim to wait" });
  const start = performance.now();
  await send(sender, message("beta"));
  assert.deepEqual(await signals.next("woken"), ["beta"]);
  assert.ok(performance.now() - start < 1_500, "heard long before the claim gave up");
  await admin.query("COMMIT");
  admin.release();
  assert.equal((await claiming).length, 1);
  await stop();
});

test("workers of one process that are woken at once do not wait for each other's claim", async () => {
  const { transport, heard, stop } = await listening("listening-both");
  await heard(...messages("alpha", 3));
  const both = await Promise.all([take(transport), take(transport), take(transport)]);
  const ids = both.flat().map(({ receipt }) => receipt.id);
  assert.equal(new Set(ids).size, 3);
  assert.equal(ids.length, 3);
  await stop();
});

test("when the connection that heard of a message has gone silent, the next claim tries no other one of that time", async () => {
  const proxy = await HoleProxy.before(url);
  const transport = await schema.open({ dsn: proxy.url, queues: ["alpha"], statementTimeoutMs: 1_000 });
  const signals = createSignals<{ woken: readonly string[] }>();
  const stop = await transport.onWake((queues) => signals.emit("woken", queues));
  try {
    await Promise.all(Array.from({ length: 3 }, () => receive(transport, "alpha")));
    await send(sender, message("alpha"));
    await signals.next("woken");
    proxy.swallow("answers");
    await assert.rejects(take(transport), { code: "TRANSPORT_UNAVAILABLE" });
    const start = performance.now();
    await receive(transport, "alpha");
    assert.ok(performance.now() - start < 900, "on a new connection");
  } finally {
    await stop();
    await transport.close();
    await proxy.close();
  }
});
