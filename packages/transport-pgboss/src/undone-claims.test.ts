import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { LeaseLostError, type Receipt, type Received, stamps } from "@symphony/core";
import { TestSchema, testDatabase } from "./testing/database.ts";
import { failure, message, messages, receive, send, WORKER } from "./testing/messages.ts";

const schema = new TestSchema(await testDatabase());
const transport = await schema.open({ queues: ["alpha"] });

const LARGE = { padding: Array.from({ length: 400 }, (_, i) => `${i} and more`).join() };

beforeEach(async () => {
  await schema.query("DELETE FROM $schema.job");
  await schema.query("DELETE FROM $schema.messenger_bundle");
});

/** What a server leaves that has lost the commit of a claim: the messages wait as before, and another worker claims them. */
async function claimTwice(): Promise<{ readonly stale: readonly Receipt[]; readonly current: readonly Received[] }> {
  await schema.query("DROP TABLE IF EXISTS $schema.before");
  await schema.query("CREATE TABLE $schema.before AS SELECT * FROM $schema.job");
  const stale = (await receive(transport, "alpha")).map(({ receipt }) => receipt);
  await schema.query("DELETE FROM $schema.messenger_bundle");
  await schema.query("DELETE FROM $schema.job");
  await schema.query("INSERT INTO $schema.job SELECT * FROM $schema.before");
  const current = await transport.receive(10, { workerId: "another", queues: ["alpha"] });
  const deliveries = (receipts: readonly Receipt[]) => receipts.map(({ id, fence }) => `${id} ${fence}`).sort();
  assert.equal(stale.length, 3);
  assert.deepEqual(deliveries(stale), deliveries(current.map(({ receipt }) => receipt)), "the fence does not tell them apart");
  return { stale, current };
}

const PLACES = {
  "in a bundle": () => send(transport, ...messages("alpha", 3)),
  "as rows": () => send(transport, message("alpha", LARGE), ...messages("alpha", 2)),
  "with idempotency keys": () => send(transport, ...["a", "b", "c"].map((key) => message("alpha", {}, stamps.idempotencyKey({ key })))),
};

for (const [place, fill] of Object.entries(PLACES)) {
  test(`${place}: no outcome of a claim that the store has forgotten counts for the claim of another worker`, async () => {
    await fill();
    const { stale, current } = await claimTwice();
    // As they are, as they come out of another thread, and with nothing but what the claim has given.
    const kinds = [stale, stale.map(({ id, queue, fence, claim }) => ({ id, queue, fence, ...(claim === undefined ? {} : { claim }) }))];
    for (const receipts of kinds) {
      const [first, second, third] = receipts as [Receipt, Receipt, Receipt];
      const settled = [
        ...(await transport.acknowledge([first])),
        ...(await transport.reject([
          { receipt: second, retryInMs: 0 },
          { receipt: third, deadLetter: failure() },
        ])),
      ];
      assert.deepEqual(
        settled.map(({ status }) => status),
        ["lease_lost", "lease_lost", "lease_lost"],
      );
      await assert.rejects(
        transport.transaction(first, () => Promise.resolve()),
        LeaseLostError,
      );
      assert.deepEqual(await transport.adopt(receipts, WORKER), []);
    }
    const own = await transport.acknowledge(current.map(({ receipt }) => receipt));
    assert.deepEqual(
      own.map(({ status }) => status),
      ["settled", "settled", "settled"],
    );
  });
}
