import assert from "node:assert/strict";
import { LeaseLostError } from "../../errors.ts";
import { idempotencyKey } from "../../stamps.ts";
import { assertStatuses, type Claim, type ContractKit, envelopeOf, ids, unique } from "./kit.ts";

export function transactionTests(claim: Claim): void {
  callerTests(claim);
  const transactional: Claim = (name, body) => claim(name, body, { needs: ["transactional"] });
  handlerTests(transactional);
}

/** Transactions that the application opened itself. */
function callerTests(register: Claim): void {
  const claim: Claim = (name, body) => register(name, body, { needs: ["beginTransaction"] });

  claim("shows messages of the caller's transaction after its commit, not before", async (kit) => {
    const transaction = await open(kit);
    const results = await kit.transport.send(kit.envelopes(3), { transaction: transaction.client });
    assert.deepEqual(
      results.map((result) => result.kind),
      ["accepted", "accepted", "accepted"],
    );
    await kit.assertNothingWaits();
    await transaction.commit();
    await kit.drain(3);
  });

  claim("sends nothing when the caller's transaction is rolled back", async (kit) => {
    const transaction = await open(kit);
    await kit.transport.send(kit.envelopes(2), { transaction: transaction.client });
    await transaction.rollback();
    const [id] = await kit.send(kit.envelope({ after: true }));
    assert.deepEqual(ids(await kit.drain(1)), [id]);
  });

  claim("leaves the caller's transaction usable after a duplicate and after a refusal", async (kit) => {
    const key = unique("key");
    const keyed = () => kit.envelope({ n: 1 }, idempotencyKey({ key }));
    await kit.send(keyed());
    const transaction = await open(kit);
    const options = { transaction: transaction.client };
    const first = await kit.transport.send([keyed(), kit.envelope({ bad: "\0" }), kit.envelope({ n: 2 })], options);
    const second = await kit.transport.send(
      [kit.envelope({ n: 1, other: true }, idempotencyKey({ key })), kit.envelope({ n: 3 })],
      options,
    );
    await transaction.commit();
    assert.deepEqual(
      [...first, ...second].map((result) => (result.kind === "refused" ? result.error.code : result.kind)),
      ["duplicate", "PAYLOAD_NOT_JSON", "accepted", "IDEMPOTENCY_CONFLICT", "accepted"],
    );
    const received = await kit.drain(3);
    assert.deepEqual(received.map((each) => (envelopeOf(each).message.payload as { n: number }).n).sort(), [1, 2, 3]);
  });

  claim("forgets the idempotency key of a transaction that is rolled back", async (kit) => {
    const keyed = () => kit.envelope({ n: 1 }, idempotencyKey({ key: "rolled-back" }));
    const transaction = await open(kit);
    await kit.transport.send([keyed()], { transaction: transaction.client });
    await transaction.rollback();
    await kit.send(keyed());
    await kit.drain(1);
  });
}

async function open(kit: ContractKit) {
  const transaction = await kit.fixture.beginTransaction?.();
  assert.ok(transaction !== undefined);
  return transaction;
}

/** Transactions around a handler. */
function handlerTests(claim: Claim): void {
  claim("commits the work, what it sent and the acknowledgement together", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const { receipt } = await kit.one();
    const result = await kit.transactional.transaction(receipt, async (client) => {
      const results = await kit.transport.send([kit.envelope({ n: 2 })], { transaction: client });
      assert.equal(results[0]?.kind, "accepted");
      await kit.assertNothingWaits();
      return "the work's result";
    });
    assert.equal(result, "the work's result");
    const followUp = await kit.one();
    assert.deepEqual(envelopeOf(followUp).message.payload, { n: 2 });
    await kit.assertGone(receipt);
  });

  claim("rolls everything back when the work throws, and leaves the message leased", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const received = await kit.one();
    const boom = new Error("boom");
    const work = async (client: unknown): Promise<void> => {
      await kit.transport.send([kit.envelope({ n: 2 })], { transaction: client });
      throw boom;
    };
    await assert.rejects(kit.transactional.transaction(received.receipt, work), (error) => error === boom);
    await kit.assertStillLeased(received);
  });

  claim("rolls everything back when the delivery is not current any more", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const stale = await kit.one();
    await kit.release(stale);
    const current = await kit.one({ workerId: "contract-worker-2" });
    const work = async (client: unknown): Promise<void> => {
      await kit.transport.send([kit.envelope({ n: 2 })], { transaction: client });
    };
    await assert.rejects(kit.transactional.transaction(stale.receipt, work), LeaseLostError);
    await kit.assertStillLeased(current);
  });

  claim("rolls everything back when the lease is lost while the work runs", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const { receipt } = await kit.one();
    const work = async (client: unknown): Promise<void> => {
      await kit.transport.send([kit.envelope({ n: 2 })], { transaction: client });
      // A transport may hold the row from the start: then the other settlement waits, and comes too late.
      other = kit.transport.acknowledge([receipt]);
      await Promise.race([other, kit.tick(500)]);
    };
    let other: Promise<unknown> | undefined;
    const outcome = await kit.transactional.transaction(receipt, work).then(
      () => "committed",
      (error: unknown) => error,
    );
    const settled = (await other) as Awaited<ReturnType<typeof kit.transport.acknowledge>>;
    if (outcome === "committed") {
      assertStatuses(settled, [receipt], "lease_lost");
      assert.deepEqual(envelopeOf(await kit.one()).message.payload, { n: 2 });
    } else {
      assert.ok(outcome instanceof LeaseLostError, String(outcome));
      assertStatuses(settled, [receipt], "settled");
    }
    await kit.assertNothingWaits();
  });

  claim("lets one of two transactions for the same delivery commit", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const { receipt } = await kit.one();
    const outcomes = await Promise.allSettled(
      [1, 2].map((n) =>
        kit.transactional.transaction(receipt, async (client) => {
          await kit.transport.send([kit.envelope({ from: n })], { transaction: client });
        }),
      ),
    );
    assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ["fulfilled", "rejected"]);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") assert.ok(outcome.reason instanceof LeaseLostError, String(outcome.reason));
    await kit.drain(1);
  });
}
