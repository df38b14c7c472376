import assert from "node:assert/strict";
import { test } from "node:test";
import { createJsonSerializer, type Serializer, stamps } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, message, messages, one, receive, send } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());
const transport = await schema.open({ queues: ["alpha", "beta"] });

/** How many commits stored the messages of a queue: rows of one statement have one xmin. */
async function commits(queue: string): Promise<number> {
  const [row] = await schema.query<{ n: number }>("SELECT count(DISTINCT xmin::text)::int AS n FROM $schema.job WHERE name = $1", [queue]);
  return row?.n ?? 0;
}

async function clear(...queues: string[]): Promise<void> {
  await schema.query("DELETE FROM $schema.job WHERE name = ANY ($1)", [queues]);
  await schema.query("DELETE FROM $schema.messenger_bundle");
}

test("makes few commits of many sends at the same time, over all queues", async () => {
  await Promise.all(Array.from({ length: 200 }, (_, n) => send(transport, message(n % 2 === 0 ? "alpha" : "beta", { n }))));
  const [alpha, beta] = [await commits("alpha"), await commits("beta")];
  assert.ok(alpha <= 3 && beta <= 3, `${alpha} and ${beta} commits for 200 sends`);
  assert.equal((await receive(transport, "alpha", 200)).length, 100);
  await clear("alpha", "beta");
});

test("delivers what one call has sent in the order of the call", async () => {
  const ids = await send(transport, ...messages("alpha", 700));
  const received = await receive(transport, "alpha", 700);
  assert.deepEqual(
    received.map((each) => each.receipt.id),
    ids,
  );
  await clear("alpha");
});

test("stores a message that is alone just as it stores one of several", async () => {
  const late = [stamps.priority({ priority: 9 }), stamps.delay({ delayMs: 60_000 })];
  const rows = async (...ids: string[]) =>
    schema.query(
      `SELECT to_jsonb(j) - '{id,data,start_after,created_on,keep_until}'::text[] || jsonb_build_object('kept', keep_until - start_after,
         'same', created_on = start_after, 'due', extract(epoch FROM start_after - now()) BETWEEN 50 AND 60, 'payload', data -> 'payload') AS stored
       FROM $schema.job j WHERE id = ANY ($1::uuid[])`,
      [ids],
    );
  const [alone] = await send(transport, message("alpha", { n: 1 }, ...late));
  const [together] = await send(transport, message("alpha", { n: 1 }, ...late), message("alpha", { n: 2 }));
  const [one, several] = [await rows(alone ?? ""), await rows(together ?? "")];
  assert.deepEqual(one, several);
  assert.equal((one[0] as { stored: { due: boolean } }).stored.due, true);
  await clear("alpha");
});

test("refuses the one message that PostgreSQL refuses, and stores its neighbours", async () => {
  const json = createJsonSerializer();
  // Core's serializer would not let these pass; one of the application may.
  const careless: Serializer = {
    decode: (body) => json.decode(body),
    encode(envelope) {
      const { n } = envelope.message.payload as { n: number };
      const body = json.encode(envelope);
      if (n === 3) return body.replace('{"n":3}', '{"n":"\\u0000"}');
      if (n === 5) return '"},{"no": json';
      return body;
    },
  };
  const other = await schema.open({ queues: ["alpha", "beta"], serializer: careless });
  const results = await other.send(messages("alpha", 9));
  assert.deepEqual(
    results.map((result) => (result.kind === "refused" ? result.error.code : result.kind)),
    Array.from({ length: 9 }, (_, n) => (n === 3 || n === 5 ? "TRANSPORT_FAILED" : "accepted")),
  );
  assert.equal((await receive(transport, "alpha")).length, 7);
  await clear("alpha");
});

test("accepts one of many senders of a key, on many connections, and tells all of them the same id", async () => {
  const transports = await Promise.all(Array.from({ length: 6 }, () => schema.open({ queues: ["alpha", "beta"] })));
  for (let round = 0; round < 10; round++) {
    const keyed = () => message("alpha", { round }, stamps.idempotencyKey({ key: `race-${round}` }));
    const results = (await Promise.all(transports.flatMap((each) => [each.send([keyed(), keyed()]), each.send([keyed()])]))).flat();
    assert.equal(results.filter((result) => result.kind === "accepted").length, 1);
    assert.equal(results.filter((result) => result.kind === "duplicate").length, results.length - 1);
    assert.equal(new Set(results.map((result) => (result.kind === "refused" ? "" : result.id))).size, 1);
  }
  await clear("alpha");
});

test("does not let an open transaction with the same key hold up messages without one", async () => {
  const client = await schema.admin.connect();
  const key = stamps.idempotencyKey({ key: "held" });
  try {
    await client.query("BEGIN");
    await transport.send([message("alpha", { n: 1 }, key)], { transaction: client });
    const waiting = transport.send([message("alpha", { n: 1 }, key)]);
    await send(transport, ...messages("alpha", 5));
    await client.query("COMMIT");
    assert.equal((await waiting)[0]?.kind, "duplicate");
  } finally {
    client.release();
  }
  assert.equal((await receive(transport, "alpha")).length, 6);
  await clear("alpha");
});

test("forgets a key when its window is over, and lifts the fence over the first message's", async () => {
  const brief = await schema.open({ queues: ["brief"], idempotencyWindowSeconds: 1 });
  const keyed = (n: number) => message("brief", { n }, stamps.idempotencyKey({ key: "k" }));
  const [id] = await send(brief, keyed(1));
  const first = await one(brief, "brief");
  await brief.acknowledge([first.receipt]);
  await waitFor(async () => (await brief.send([keyed(2)]))[0]?.kind === "accepted", { what: "the end of the window", intervalMs: 50 });
  const second = await one(brief, "brief");
  assert.equal(second.receipt.id, id, "one key, one id");
  assert.ok(second.receipt.fence > first.receipt.fence);
  assert.deepEqual(second.envelope?.message.payload, { n: 2 });
  assert.equal((await brief.acknowledge([first.receipt]))[0]?.status, "lease_lost", "a receipt from before does not fit again");
  assert.equal((await brief.acknowledge([second.receipt]))[0]?.status, "settled");
});

test("keeps rows for their keys as long as the window and an hour, no longer", async () => {
  const fresh = await schema.open({ queues: ["alpha", "beta"] });
  for (const key of ["old", "young"]) await send(fresh, message("beta", {}, stamps.idempotencyKey({ key })));
  await fresh.acknowledge((await receive(fresh, "beta")).map((each) => each.receipt));
  await schema.query(
    "UPDATE $schema.job SET completed_on = now() - interval '25 hours 1 minute' WHERE name = 'beta' AND singleton_key = 'old'",
  );
  await schema.query("UPDATE $schema.job SET completed_on = now() - interval '23 hours' WHERE name = 'beta' AND singleton_key = 'young'");
  await fresh.reap(60_000);
  const kept = await schema.query<{ singleton_key: string }>("SELECT singleton_key FROM $schema.job WHERE name = 'beta'");
  assert.deepEqual(
    kept.map((row) => row.singleton_key),
    ["young"],
  );
  await clear("beta");
});

test("remembers a key while its message is a dead letter, and after its redrive", async () => {
  const keyed = () => message("alpha", { n: 1 }, stamps.idempotencyKey({ key: "dead" }));
  const [id] = await send(transport, keyed());
  const { receipt } = await one(transport, "alpha");
  await transport.reject([
    { receipt, deadLetter: { reason: "crashed", error: { name: "E", message: "m" }, fingerprint: "f", attempts: 1, workerId: "w" } },
  ]);
  const duplicate = { kind: "duplicate", id, queue: "alpha" };
  assert.deepEqual(await transport.send([keyed()]), [duplicate]);
  assert.deepEqual(await transport.redriveDeadLetters({ ids: [id as string] }, 1), { redriven: [id], conflicts: [] });
  assert.deepEqual(await transport.send([keyed()]), [duplicate]);
  const again = await one(transport, "alpha");
  assert.ok(again.receipt.fence > receipt.fence);
  // A consumer that copies only what the contract names must not lose the key.
  const { id: copied, queue, fence } = again.receipt;
  assert.equal((await transport.acknowledge([{ id: copied, queue, fence }]))[0]?.status, "settled");
  assert.deepEqual(await transport.send([keyed()]), [duplicate]);
  await clear("alpha");
});

test("makes a queue that nobody has set up once, and only when it may", async () => {
  const results = await Promise.all(Array.from({ length: 20 }, () => transport.send(messages("gamma", 2))));
  assert.ok(results.flat().every((result) => result.kind === "accepted"));
  assert.equal((await receive(transport, "gamma")).length, 40);
  const strict = await schema.open({ queues: ["alpha"], autoSetup: false });
  const [stray, good] = await strict.send([message("delta"), message("alpha")]);
  assert.ok(stray?.kind === "refused" && stray.error.code === "QUEUE_NOT_FOUND" && /symphony setup/.test(stray.error.message));
  assert.equal(good?.kind, "accepted");
  const [dead] = await transport.send([message("failed")]);
  assert.ok(dead?.kind === "refused" && /reserved/.test(dead.error.message));
  await clear("alpha", "gamma");
});

test("finishes what is on its way before it closes, and takes nothing afterwards", async () => {
  const closing = await schema.open({ queues: ["alpha"] });
  const sent = Promise.all(Array.from({ length: 20 }, (_, n) => closing.send([message("alpha", { n })])));
  await closing.close();
  assert.ok((await sent).flat().every((result) => result.kind === "accepted"));
  await assert.rejects(closing.send([message("alpha")]), /closed/);
  await beat(transport);
  assert.equal((await receive(transport, "alpha")).length, 20);
});
