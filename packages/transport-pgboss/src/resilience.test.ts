import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseLostError, type Settled, TransportError } from "@symphony/core";
import { createSignals, waitFor } from "@symphony/core/testing";
import type pg from "pg";
import type { PgBossTransport } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, message, messages, one, receive, send, WORKER } from "./testing/messages.ts";
import { HoleProxy } from "./testing/proxy.ts";

const url = await testDatabase();
const schema = new TestSchema(url);

const unavailable = (error: unknown) => error instanceof TransportError && error.code === "TRANSPORT_UNAVAILABLE";

/** Ends the server's side of every connection of transports with this name. */
const terminate = (applicationName: string) =>
  schema.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [applicationName]);

async function empty(): Promise<void> {
  await schema.query("DELETE FROM $schema.job");
  await schema.query("DELETE FROM $schema.messenger_bundle");
}

/** An operation may meet the end of its connection; the next one must not. */
async function afterOneFailure<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    assert.ok(unavailable(error), String(error));
    return run();
  }
}

test("goes on after all its connections were ended, and hears wake-ups again", async () => {
  const transport = await schema.open({ applicationName: "t-terminated" });
  const other = await schema.open();
  const signals = createSignals<{ woken: undefined }>();
  const stop = await transport.onWake(() => signals.emit("woken"));
  await send(transport, ...messages("default", 3));
  await signals.next("woken");
  await beat(transport);
  const held = await receive(transport, "default", 1);
  await terminate("t-terminated");
  await signals.next("woken", { timeoutMs: 20_000 });
  const settled = await afterOneFailure(() => transport.acknowledge(held.map((each) => each.receipt)));
  assert.equal(settled[0]?.status, "settled");
  assert.equal(await afterOneFailure(() => beat(transport)), true);
  assert.equal((await receive(transport, "default")).length, 2);
  await send(other, message("default"));
  await signals.next("woken");
  await stop();
  await empty();
});

test("gives back what was claimed for it when the answer was lost, while its worker lives on and claims nothing", async () => {
  const proxy = await HoleProxy.before(url);
  // Without notifications: what one of them waits for on the connection would make the claim take another.
  const transport = await schema.open({ dsn: proxy.url, statementTimeoutMs: 1_000, notify: false });
  try {
    const ids = await send(transport, ...messages("default", 5));
    await beat(transport);
    // The claim reaches the server and is committed; we hear nothing of it.
    proxy.swallow("answers");
    const start = performance.now();
    await assert.rejects(receive(transport, "default"), unavailable);
    assert.ok(performance.now() - start < 2_500, "a dead connection costs the time of one statement");
    const [claimed] = await schema.query<{ n: number }>("SELECT sum(cardinality(ids))::int AS n FROM $schema.messenger_bundle");
    assert.equal(claimed?.n, 5, "the messages are claimed, and nobody knows");
    // Nobody asks for messages: what is in flight wakes no worker.
    await waitFor(async () => (await schema.query("SELECT 1 FROM $schema.job WHERE state = 'retry'")).length === 5, {
      what: "the return of the messages",
      intervalMs: 100,
    });
    const again = (await receive(transport, "default")).map((each) => each.receipt.id);
    assert.deepEqual(again.sort(), ids.sort());
  } finally {
    await transport.close();
    await proxy.close();
  }
  await empty();
});

test("tries no other connection of the time before, when one of them is half-open", async () => {
  const proxy = await HoleProxy.before(url);
  const transport = await schema.open({ dsn: proxy.url, statementTimeoutMs: 1_000, notify: false });
  try {
    await Promise.all(Array.from({ length: 4 }, () => receive(transport, "default")));
    proxy.swallow("answers");
    await assert.rejects(receive(transport, "default"), unavailable);
    const start = performance.now();
    assert.deepEqual(await receive(transport, "default"), []);
    assert.ok(performance.now() - start < 900, "on a new connection");
  } finally {
    await transport.close();
    await proxy.close();
  }
});

test("closes in bounded time when the network is gone", async () => {
  const proxy = await HoleProxy.before(url);
  const transport = await schema.open({ dsn: proxy.url, statementTimeoutMs: 1_000 });
  const stop = await transport.onWake(() => undefined);
  await send(transport, message("default"));
  proxy.swallow("everything");
  const start = performance.now();
  await transport.close();
  await stop();
  assert.ok(performance.now() - start < 5_000);
  await proxy.close();
  await empty();
});

test("says that the database cannot be reached, at the start and later", async () => {
  const proxy = await HoleProxy.before(url);
  const transport = await schema.open({ dsn: proxy.url, connectTimeoutMs: 500 });
  const { url: gone } = proxy;
  await proxy.close();
  await assert.rejects(transport.send([message("default")]), unavailable);
  await assert.rejects(receive(transport, "default"), unavailable);
  await assert.rejects(beat(transport), unavailable);
  await assert.rejects(schema.open({ dsn: gone, connectTimeoutMs: 500 }), unavailable);
});

/** A transaction of a handler that has sent a message and is then stopped by `end`. */
async function interrupted(transport: PgBossTransport, end: (client: pg.PoolClient) => Promise<unknown>): Promise<unknown> {
  await send(transport, message("default", { n: 1 }));
  await beat(transport);
  const { receipt } = await one(transport, "default");
  const outcome = await transport
    .transaction(receipt, async (client) => {
      await transport.send([message("default", { n: 2 })], { transaction: client });
      await (client as pg.PoolClient).query(`CREATE TABLE ${schema.name}.effect (id int)`);
      await end(client as pg.PoolClient);
    })
    .then(
      () => "committed",
      (error: unknown) => error,
    );
  assert.deepEqual(await receive(transport, "default"), [], "nothing was sent");
  assert.equal((await schema.query("SELECT 1 FROM pg_tables WHERE schemaname = '$schema' AND tablename = 'effect'")).length, 0);
  assert.equal((await transport.acknowledge([receipt]))[0]?.status, "settled", "the message is still leased");
  return outcome;
}

test("leaves nothing of a handler's transaction when its connection dies in the middle", async () => {
  const transport = await schema.open();
  const outcome = await interrupted(transport, async (client) => {
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await schema.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
  });
  assert.ok(unavailable(outcome), String(outcome));
});

test("leaves nothing of a handler's transaction in which a statement failed, even if the handler did not mind", async () => {
  const transport = await schema.open();
  const outcome = await interrupted(transport, (client) => client.query("SELECT 1 / 0").catch(() => undefined));
  assert.ok(outcome instanceof TransportError, String(outcome));
});

test("commits nothing for a delivery that somebody else has taken over meanwhile", async () => {
  const transport = await schema.open();
  await send(transport, message("default"));
  await beat(transport, "slow");
  const [held] = await transport.receive(1, { workerId: "slow", queues: ["default"] });
  assert.ok(held !== undefined);
  const work = async (client: unknown): Promise<void> => {
    await (client as pg.PoolClient).query(`CREATE TABLE ${schema.name}.effect (id int)`);
    await transport.retire("slow");
  };
  await assert.rejects(transport.transaction(held.receipt, work), LeaseLostError);
  assert.equal((await schema.query("SELECT 1 FROM pg_tables WHERE schemaname = '$schema' AND tablename = 'effect'")).length, 0);
  await beat(transport);
  await transport.acknowledge([(await one(transport, "default")).receipt]);
});

test("lets the server notice within half a minute that a handler's machine is gone, and end its transaction", async () => {
  const transport = await schema.open();
  await send(transport, message("default"));
  await beat(transport);
  const { receipt } = await one(transport, "default");
  const settings = await transport.transaction(receipt, async (client) => {
    const read = "SELECT name, setting::int AS value FROM pg_settings WHERE name LIKE 'tcp\\_%'";
    const { rows } = await (client as pg.PoolClient).query<{ name: string; value: number }>(read);
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  });
  const { tcp_keepalives_idle: idle = 0, tcp_keepalives_interval: interval = 0, tcp_keepalives_count: count = 0 } = settings;
  assert.ok(idle > 0 && interval > 0 && count > 0 && idle + interval * count <= 30, JSON.stringify(settings));
  assert.ok((settings.tcp_user_timeout ?? 0) > 0 && (settings.tcp_user_timeout ?? 0) <= 30_000, JSON.stringify(settings));
});

test("lets go of every connection that a transaction used, however it ended", async () => {
  const transport = await schema.open({ poolSize: 2 });
  await beat(transport);
  for (let n = 0; n < 6; n++) {
    await send(transport, message("default"));
    const { receipt } = await one(transport, "default");
    const work = async (): Promise<void> => {
      if (n % 2 === 0) throw new Error("boom");
    };
    await transport.transaction(receipt, work).catch(() => undefined);
    await transport.acknowledge([receipt]);
  }
  assert.deepEqual(await receive(transport, "default"), []);
});

test("does not stop claiming while handlers hold transactions open", async () => {
  const transport = await schema.open({ poolSize: 2 });
  await beat(transport);
  await send(transport, ...messages("default", 4));
  const held = await receive(transport, "default", 2);
  const signals = createSignals<{ begun: undefined }>();
  const gate = Promise.withResolvers<void>();
  const running = held.map(({ receipt }) =>
    transport.transaction(receipt, async () => {
      signals.emit("begun");
      await gate.promise;
    }),
  );
  await signals.next("begun");
  await signals.next("begun");
  assert.equal((await transport.receive(2, { workerId: WORKER, queues: ["default"] })).length, 2);
  gate.resolve();
  await Promise.all(running);
  await empty();
});

test("settles each message once, whatever is taken back from its workers meanwhile", async () => {
  const total = 400;
  const transports = [await schema.open(), await schema.open()] as const;
  await send(transports[0], ...messages("default", total));
  const settled = new Map<string, number>();
  const note = (all: readonly Settled[]): void => {
    for (const { receipt, status } of all) if (status === "settled") settled.set(receipt.id, (settled.get(receipt.id) ?? 0) + 1);
  };
  const workers = Array.from({ length: 6 }, (_, n) => `w-${n}`);
  let working = workers.length;
  const work = async (workerId: string, n: number): Promise<void> => {
    const transport = transports[n % 2] as PgBossTransport;
    let idle = 0;
    while (idle < 3) {
      const held = await transport.receive(7, { workerId, queues: ["default"] });
      idle = held.length === 0 ? idle + 1 : 0;
      // Settled twice at the same time, in two ways, by whoever is faster.
      const receipts = held.map((each) => each.receipt);
      const [one, two] = await Promise.all([transport.acknowledge(receipts), transports[(n + 1) % 2]?.acknowledge(receipts)]);
      note(one);
      note(two ?? []);
    }
    working -= 1;
  };
  const takeBack = async (): Promise<void> => {
    for (let n = 0; working > 0; n++) await transports[n % 2]?.retire(workers[n % workers.length] as string);
  };
  await Promise.all([...workers.map(work), takeBack(), takeBack()]);
  for (;;) {
    const left = await receive(transports[0], "default");
    if (left.length === 0) break;
    note(await transports[0].acknowledge(left.map((each) => each.receipt)));
  }
  assert.equal(settled.size, total, "none is lost");
  assert.deepEqual(
    [...settled.values()].filter((times) => times !== 1),
    [],
    "none is settled twice",
  );
});

test("repeats a settlement that PostgreSQL gave up to end a deadlock", async () => {
  const transport = await schema.open({ applicationName: "t-deadlock" });
  await beat(transport);
  // Too large for a bundle: each is a row with a lock of its own.
  const padding = "x".repeat(4_000);
  await send(transport, message("default", { padding }), message("default", { padding }));
  const [first, second] = (await receive(transport, "default")).map((each) => each.receipt);
  assert.ok(first !== undefined && second !== undefined);
  const other = await schema.admin.connect();
  const touch = (id: string) => other.query(`UPDATE ${schema.name}.job SET heartbeat_on = now() WHERE id = $1`, [id]);
  try {
    // The other one is patient, so that we are the one who is given up.
    await other.query("BEGIN; SET LOCAL deadlock_timeout = '30s'");
    await touch(second.id);
    const rejecting = transport.reject([first, second].map((receipt) => ({ receipt, release: true })));
    const waits = "SELECT 1 FROM pg_stat_activity WHERE application_name = 't-deadlock' AND wait_event_type = 'Lock'";
    await waitFor(async () => (await schema.query(waits)).length > 0, { what: "the settlement that waits for a lock" });
    await touch(first.id);
    await other.query("COMMIT");
    assert.deepEqual(
      (await rejecting).map((each) => each.status),
      ["settled", "settled"],
    );
  } finally {
    other.release();
  }
  const [database] = await schema.query<{ deadlocks: string }>("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
  assert.ok(Number(database?.deadlocks) > 0, "there was a deadlock");
  await empty();
});
