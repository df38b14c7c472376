import assert from "node:assert/strict";
import { test } from "node:test";
import { stamps } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { message, messages, receive, send } from "./testing/messages.ts";

const url = await testDatabase();
const schema = new TestSchema(url);
/** At once: so much after the last notification that the next message brings its own. */
const QUIET_MS = 20;
let lastAt = 0;

async function quiet(): Promise<void> {
  await waitFor(() => performance.now() - lastAt > QUIET_MS, { what: "a pause between two notifications", intervalMs: 5 });
}

/** What sends is kept from making durable what it has stored, until `release`. */
async function holdFlush(): Promise<{ release: () => Promise<void> }> {
  const client = await schema.admin.connect();
  await client.query(`BEGIN; ALTER SEQUENCE ${schema.name}.messenger_flush INCREMENT 1`);
  return {
    release: async () => {
      await client.query("ROLLBACK");
      client.release();
    },
  };
}

for (const [what, count] of [
  ["a message", 1],
  ["several messages", 3],
] as const) {
  test(`${what} can be received before the disk has it, and is accepted when the disk has it`, async () => {
    const transport = await schema.open({ queues: ["alpha"] });
    await send(transport, message("alpha"));
    lastAt = performance.now();
    assert.equal((await receive(transport, "alpha")).length, 1);
    const hold = await holdFlush();
    await quiet();
    let isAccepted = false;
    const sending = transport.send(messages("alpha", count)).then((results) => {
      isAccepted = true;
      return results.map(({ kind }) => kind);
    });
    const received: string[] = [];
    const all = async (): Promise<boolean> => {
      received.push(...(await receive(transport, "alpha")).map(({ receipt }) => receipt.id));
      return received.length === count;
    };
    await waitFor(all, { what: "the messages to be received" });
    assert.equal(isAccepted, false, "accepted before its commit was durable");
    await hold.release();
    assert.deepEqual(await sending, Array(count).fill("accepted"));
  });
}

test("a message that cannot be made durable is not accepted", async () => {
  const transport = await schema.open({ queues: ["alpha"], statementTimeoutMs: 500 });
  await send(transport, message("alpha"));
  lastAt = performance.now();
  const hold = await holdFlush();
  await quiet();
  await assert.rejects(transport.send([message("alpha")]), { code: "TRANSPORT_UNAVAILABLE" });
  await hold.release();
  await schema.query("DELETE FROM $schema.job");
});

test("a message that is there already is a duplicate only when the disk has it", async () => {
  const transport = await schema.open({ queues: ["alpha"], statementTimeoutMs: 500 });
  const again = message("alpha", { n: 1 });
  await send(transport, again);
  lastAt = performance.now();
  const hold = await holdFlush();
  await assert.rejects(transport.send([again]), { code: "TRANSPORT_UNAVAILABLE" });
  await hold.release();
  const [result] = await transport.send([again]);
  assert.equal(result?.kind, "duplicate");
  await schema.query("DELETE FROM $schema.job");
});

test("a message is accepted, once, when the sequence has gone meanwhile", async () => {
  const transport = await schema.open({ queues: ["alpha"] });
  await send(transport, message("alpha"));
  await schema.query("DROP SEQUENCE $schema.messenger_flush");
  for (let n = 0; n < 2; n++) {
    lastAt = performance.now();
    await quiet();
    await send(transport, message("alpha"));
  }
  assert.equal((await schema.query("SELECT 1 FROM $schema.job")).length, 3);
  await schema.open({ queues: ["alpha"] });
  await schema.query("DELETE FROM $schema.job");
});

test("where the sequence is missing, or not ours to set, messages are sent as ever", async () => {
  const role = `${schema.name}_runtime`;
  await schema.open({ queues: ["alpha"] });
  await schema.query(`CREATE ROLE ${role} LOGIN PASSWORD '${role}'`);
  try {
    await schema.query(`GRANT USAGE ON SCHEMA $schema TO ${role}`);
    await schema.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA $schema TO ${role}`);
    const address = new URL(url);
    address.username = role;
    address.password = role;
    const limited = await schema.open({ dsn: address.href, queues: ["alpha"] });
    await quiet();
    assert.equal((await send(limited, message("alpha"))).length, 1);
    await limited.close();
    // In a transaction of a role that may not set it, of a program that may.
    const owner = await schema.open({ queues: ["alpha"] });
    const known = message("alpha", { n: 1 });
    await send(owner, known);
    const client = await schema.admin.connect();
    await client.query(`BEGIN; SET LOCAL ROLE ${role}`);
    assert.equal((await owner.send([known], { transaction: client }))[0]?.kind, "duplicate");
    await client.query("COMMIT");
    client.release();
    await schema.query("DROP SEQUENCE $schema.messenger_flush");
    // A role that may not make it starts all the same.
    const still = await schema.open({ dsn: address.href, queues: ["alpha"] });
    assert.deepEqual(await still.checkSetUp(), []);
    assert.equal((await send(still, message("alpha", {}, stamps.priority({ priority: 3 })))).length, 1);
    await still.close();
    const deferred = await schema.open({ autoSetup: "defer", queues: ["alpha"] });
    assert.match((await deferred.checkSetUp()).join(), /sequence messenger_flush/);
    // One that may starts, and makes it.
    await schema.open({ queues: ["alpha"] });
    assert.deepEqual(await deferred.checkSetUp(), []);
    assert.equal((await receive(deferred, "alpha")).length, 3);
  } finally {
    await schema.query(`DROP OWNED BY ${role}`);
    await schema.query(`DROP ROLE ${role}`);
  }
});
