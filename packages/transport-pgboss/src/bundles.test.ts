import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type Receipt, stamps } from "@symphony/core";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { beat, message, messages, receive, send, WORKER } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());
const transport = await schema.open({ queues: ["alpha", "beta"] });

beforeEach(async () => {
  await schema.query("DELETE FROM $schema.job");
  await schema.query("DELETE FROM $schema.messenger_bundle");
  await beat(transport);
});

const LARGE = { padding: Array.from({ length: 400 }, (_, i) => `${i} and more`).join() };
const rows = () => schema.query<{ state: string }>("SELECT state::text FROM $schema.job");
const bundles = () =>
  schema.query<{ size: number; gone: string }>("SELECT cardinality(ids) AS size, gone::text FROM $schema.messenger_bundle");
const active = async () => (await transport.getCounts()).find(({ queue }) => queue === "alpha")?.active;
const statuses = async (receipts: readonly Receipt[]) => (await transport.acknowledge(receipts)).map(({ status }) => status);
const receiptsOf = (received: readonly { readonly receipt: Receipt }[]) => received.map(({ receipt }) => receipt);

test("small messages that are claimed at once are one row until the last of them is settled", async () => {
  await send(transport, ...messages("alpha", 5));
  const received = await receive(transport, "alpha");
  assert.deepEqual(await rows(), []);
  assert.deepEqual(await bundles(), [{ size: 5, gone: "00000" }]);
  assert.equal(await active(), 5);
  assert.deepEqual(await statuses(receiptsOf([received[1], received[4]].filter((each) => each !== undefined))), ["settled", "settled"]);
  assert.deepEqual(await bundles(), [{ size: 5, gone: "01001" }]);
  assert.equal(await active(), 3);
  const all = receiptsOf(received);
  assert.deepEqual(await statuses(all), ["settled", "lease_lost", "settled", "settled", "lease_lost"], "each once");
  assert.deepEqual(await bundles(), []);
});

test("a large message, and one with an idempotency key, stay rows, with all that are claimed with them", async () => {
  await send(transport, message("alpha"), message("alpha", LARGE));
  await receive(transport, "alpha");
  assert.deepEqual(
    (await rows()).map(({ state }) => state),
    ["active", "active"],
  );
  await send(transport, message("beta", {}, stamps.idempotencyKey({ key: "k" })));
  await receive(transport, "beta");
  assert.equal((await rows()).length, 3);
  assert.deepEqual(await bundles(), []);
});

test("one claim may take a bundle of one queue and rows of the next, in the order of the queues", async () => {
  await send(transport, message("beta", LARGE), ...messages("alpha", 2));
  const received = await transport.receive(10, { workerId: WORKER, queues: ["alpha", "beta"] });
  assert.deepEqual(
    received.map(({ queue }) => queue),
    ["alpha", "alpha", "beta"],
  );
  assert.deepEqual(await statuses(receiptsOf(received)), ["settled", "settled", "settled"]);
});

test("of many settlements of the same deliveries at once, each delivery is settled by one", async () => {
  await send(transport, ...messages("alpha", 60));
  const receipts = receiptsOf(await receive(transport, "alpha"));
  const slices = Array.from({ length: 12 }, (_, k) => receipts.filter((_, i) => i % 12 === k || i % 12 === (k + 1) % 12));
  const results = await Promise.all(
    slices.map((slice, k) =>
      k % 3 === 0 ? transport.reject(slice.map((receipt) => ({ receipt, retryInMs: 3_600_000 }))) : transport.acknowledge(slice),
    ),
  );
  const settled = results.flat().filter(({ status }) => status === "settled");
  assert.equal(settled.length, 60);
  assert.equal(new Set(settled.map(({ receipt }) => receipt.id)).size, 60);
  assert.deepEqual(await bundles(), []);
});

test("a copy of a receipt settles as well, and one of another delivery does not", async () => {
  await send(transport, ...messages("alpha", 3));
  const [first, second, third] = receiptsOf(await receive(transport, "alpha")) as [Receipt, Receipt, Receipt];
  assert.deepEqual(await statuses([structuredClone({ ...first }), { ...second, fence: second.fence + 1 }]), ["settled", "lease_lost"]);
  assert.deepEqual(await statuses([{ ...first }, second, third]), ["lease_lost", "settled", "settled"]);
});

test("what is taken back from a worker comes again in its old order, with a higher fence, and its old receipts are refused", async () => {
  const urgent = stamps.priority({ priority: 9 });
  await send(transport, ...messages("alpha", 3), message("alpha", {}, urgent));
  const before = await receive(transport, "alpha");
  await transport.acknowledge(receiptsOf(before.slice(1, 2)));
  assert.deepEqual(await transport.retire(WORKER), { messages: 3 });
  assert.deepEqual(
    (await rows()).map(({ state }) => state),
    ["retry", "retry", "retry"],
  );
  const again = await receive(transport, "alpha");
  const left = [before[0], before[2], before[3]].flatMap((each) => each ?? []);
  assert.deepEqual(
    again.map(({ receipt }) => receipt.id),
    left.map(({ receipt }) => receipt.id),
  );
  assert.ok(again.every(({ receipt }) => receipt.fence === 1));
  assert.ok(again.every(({ envelope }) => envelope?.last(stamps.redelivery)?.tries.interruptions === 1));
  assert.deepEqual(await statuses(receiptsOf(left)), ["lease_lost", "lease_lost", "lease_lost"]);
  assert.deepEqual(await statuses(receiptsOf(again)), ["settled", "settled", "settled"]);
});

test("a message in a bundle is found and cancelled by its id; the others of the bundle go on", async () => {
  await send(transport, ...messages("alpha", 3));
  const [first, second, third] = receiptsOf(await receive(transport, "alpha")) as [Receipt, Receipt, Receipt];
  const found = await transport.findMessage(second.id);
  assert.deepEqual([found?.state, found?.workerId, found?.queue], ["active", WORKER, "alpha"]);
  assert.deepEqual(await transport.cancelMessage(second.id), { kind: "interrupted", queue: "alpha", workerId: WORKER });
  assert.deepEqual(await statuses([first, second, third]), ["settled", "lease_lost", "settled"]);
});

test("a hundred receivers and acknowledgers at once lose and double nothing", async () => {
  const ids = await send(transport, ...messages("alpha", 2_000));
  const seen: string[] = [];
  const consume = async (worker: string): Promise<void> => {
    for (let acknowledge: readonly Receipt[] = []; ; ) {
      const received = await transport.receive(37, { workerId: worker, queues: ["alpha"], acknowledge });
      seen.push(...received.map(({ receipt }) => receipt.id));
      acknowledge = receiptsOf(received);
      if (received.length === 0) return;
    }
  };
  await Promise.all(Array.from({ length: 100 }, (_, i) => consume(`${WORKER}-${i % 10}`)));
  assert.deepEqual(seen.sort(), [...ids].sort());
  assert.deepEqual([await rows(), await bundles()], [[], []]);
});

test("a queue that is prepared for keys meanwhile settles what was bundled before", async () => {
  const early = await schema.open({ queues: ["gamma"] });
  await beat(early);
  await send(early, ...messages("gamma", 4));
  const [first, second, third, fourth] = receiptsOf(await receive(early, "gamma")) as [Receipt, Receipt, Receipt, Receipt];
  const late = await schema.open({ queues: ["gamma"], keyedQueues: ["gamma"] });
  assert.equal((await late.findMessage(second.id))?.state, "active");
  assert.deepEqual(
    (await late.reject([{ receipt: first, release: true }])).map(({ status }) => status),
    ["settled"],
  );
  assert.equal((await late.cancelMessage(second.id)).kind, "interrupted");
  assert.deepEqual(
    (await late.acknowledge([{ ...third }, fourth])).map(({ status }) => status),
    ["settled", "settled"],
  );
  assert.deepEqual(await bundles(), []);
});

test("a receipt that is given twice settles its own message and no other of the bundle", async () => {
  await send(transport, ...messages("alpha", 2));
  const [first, second] = receiptsOf(await receive(transport, "alpha")) as [Receipt, Receipt];
  await transport.acknowledge([first, first]);
  assert.equal(await active(), 1, "the other one is still in flight");
  assert.deepEqual(await statuses([second, second]), ["settled", "settled"]);
});
