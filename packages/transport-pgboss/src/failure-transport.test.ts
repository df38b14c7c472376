import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMessenger, DeadLetterCourier, defineMessage, type Messenger, type MessengerError, type Transport } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import type { PgBossTransport } from "./index.ts";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, bury, receive } from "./testing/messages.ts";
import { HoleProxy } from "./testing/proxy.ts";

const url = await testDatabase();
const Task = defineMessage("task");

interface Bed {
  /** One process of a program, over the same two stores as any other. */
  program(): Promise<{ readonly messenger: Messenger; readonly courier: DeadLetterCourier }>;
  /** Makes so many dead letters of the transport "orders"; resolves with their ids. */
  fail(messenger: Messenger, count: number): Promise<string[]>;
}

async function bed(t: TestContext, failures = url): Promise<Bed> {
  const schemas = { orders: new TestSchema(url, t), failures: new TestSchema(url, t) };
  const config = {
    transports: {
      orders: { dsn: url, options: { schema: schemas.orders.name, connectTimeoutMs: 500 } },
      failures: { dsn: failures, options: { schema: schemas.failures.name, connectTimeoutMs: 500 } },
    },
    routing: { "*": "orders" },
    messages: [Task],
    failureTransport: "failures",
  };
  const open: { readonly messenger: Messenger; readonly courier: DeadLetterCourier }[] = [];
  t.after(async () => {
    for (const { messenger, courier } of open) {
      await courier.stop();
      await messenger.close();
    }
  });
  return {
    async program() {
      const messenger = await createMessenger(config);
      open.push({ messenger, courier: new DeadLetterCourier({ messenger }) });
      return open.at(-1) as (typeof open)[number];
    },
    async fail(messenger, count) {
      const transport = messenger.transport("orders") as PgBossTransport;
      const receipts = await messenger.dispatchMany(Array.from({ length: count }, (_, n) => ({ type: Task, payload: { n } })));
      await beat(transport);
      for (const received of await receive(transport, "default", count)) await bury(transport, received);
      return receipts.map((each) => ("messageId" in each ? each.messageId : "")).sort();
    },
  };
}

const listed = async (transport: Transport): Promise<string[]> =>
  (await (transport as PgBossTransport).listDeadLetters({}, { limit: 1_000 })).deadLetters.map(({ id }) => id).sort();

test("a dead letter stays in its own transport while the failure transport is away, and is carried there afterwards", async (t) => {
  const proxy = await HoleProxy.before(url);
  t.after(() => proxy.close());
  const { program, fail } = await bed(t, proxy.url);
  const { messenger, courier } = await program();
  const [orders, failures] = [messenger.transport("orders"), messenger.transport("failures")];
  proxy.down(true);
  const ids = await fail(messenger, 5);
  await assert.rejects(courier.carry(), (error) => (error as MessengerError).code === "TRANSPORT_UNAVAILABLE");
  assert.deepEqual(await listed(orders), ids, "where they are, and can be redriven from there");
  courier.start();
  proxy.down(false);
  await waitFor(async () => (await listed(orders)).length === 0, { timeoutMs: 30_000, what: "the courier" });
  assert.deepEqual(await listed(failures), ids);
});

test("a message that is redriven from the failure transport is back in its queue, under its id, and fails there again", async (t) => {
  const { program, fail } = await bed(t);
  const { messenger, courier } = await program();
  const [orders, failures] = ["orders", "failures"].map((name) => messenger.transport(name) as PgBossTransport) as [
    PgBossTransport,
    PgBossTransport,
  ];
  const ids = await fail(messenger, 3);
  assert.equal(await courier.carry(), 3);
  const [first] = ids as [string];
  assert.deepEqual(await failures.redriveDeadLetters({ ids: [first] }, 1), { redriven: [first], conflicts: [] });
  assert.deepEqual([await listed(orders), (await listed(failures)).length], [[], 2]);
  const [again, ...more] = await receive(orders, "default");
  assert.deepEqual([again?.receipt.id, more.length], [first, 0]);
  assert.ok(again !== undefined);
  await bury(orders, again);
  await courier.carry();
  assert.deepEqual(await listed(failures), ids);
  const { redrives } = failures;
  const { id } = await redrives.create({ action: "retry", filter: {}, requestedBy: "test" });
  await redrives.hold({ holder: "test", leaseMs: 60_000 }, id);
  for (let taken = 1; taken > 0; ) taken = (await redrives.advance(id, { holder: "test", leaseMs: 60_000 }, 2))?.taken ?? 0;
  assert.equal((await redrives.get(id))?.done, 3);
  assert.deepEqual((await receive(orders, "default")).map(({ receipt }) => receipt.id).sort(), ids, "redrives at a rate do it, too");
  assert.deepEqual([await listed(orders), await listed(failures)], [[], []]);
});

test("several couriers at once, and one that died half-way, leave every letter in the failure transport once", async (t) => {
  const { program, fail } = await bed(t);
  const programs = await Promise.all([program(), program(), program()]);
  const { messenger } = programs[0] as (typeof programs)[number];
  const [orders, failures] = ["orders", "failures"].map((name) => messenger.transport(name) as PgBossTransport) as [
    PgBossTransport,
    PgBossTransport,
  ];
  const ids = await fail(messenger, 250);
  // As far as one gets that is killed after the copy and before the removal.
  await failures.importDeadLetters(await orders.exportDeadLetters(50), "orders");
  await Promise.all(programs.map(({ courier }) => courier.carry()));
  assert.deepEqual([await listed(orders), await listed(failures)], [[], ids]);
});

test("a letter that is redriven in its own transport while it is carried is not in both", async (t) => {
  const { program, fail } = await bed(t);
  const { messenger, courier } = await program();
  const [orders, failures] = ["orders", "failures"].map((name) => messenger.transport(name) as PgBossTransport) as [
    PgBossTransport,
    PgBossTransport,
  ];
  const ids = await fail(messenger, 4);
  const exporting = orders.exportDeadLetters.bind(orders);
  const redriven: string[] = [];
  // In the moment between the copy's being made and its arrival.
  orders.exportDeadLetters = async (limit) => {
    const parcels = await exporting(limit);
    if (redriven.length === 0) redriven.push(...(await orders.redriveDeadLetters({}, 2)).redriven);
    return parcels;
  };
  await courier.carry();
  assert.deepEqual((await receive(orders, "default")).map(({ receipt }) => receipt.id).sort(), redriven.sort());
  assert.deepEqual(
    await listed(failures),
    ids.filter((id) => !redriven.includes(id)),
  );
});
