import assert from "node:assert/strict";
import { type DeadLetterParcel, type Forwardable, isForwardable } from "../../failure-transport/forwarding.ts";
import { idempotencyKey, partitionKey, priority, redelivery } from "../../stamps.ts";
import { isCountable, type Transport } from "../../transport.ts";
import { type Claim, type ContractKit, envelopeOf, failure, ids } from "./kit.ts";

/** Sends, receives and gives up so many messages. */
async function bury(kit: ContractKit, count: number): Promise<string[]> {
  const sent = await kit.send(...kit.envelopes(count));
  for (const received of await kit.drain(count)) await kit.deadLetter(received, { reason: "unrecoverable" });
  return sent;
}

function store(kit: ContractKit): Transport & Forwardable {
  const { transport } = kit;
  assert.ok(isForwardable(transport));
  return transport;
}

const letterIds = async (kit: ContractKit): Promise<string[]> =>
  (await kit.listable.listDeadLetters({}, { limit: 100 })).deadLetters.map(({ id }) => id).sort();

const idsOf = (parcels: readonly DeadLetterParcel[]): string[] => parcels.map(({ id }) => id);

export function forwardingTests(register: Claim): void {
  const claim: Claim = (name, body) => register(name, body, { needs: ["forwardable", "listable"] });

  claim("gives its own dead letters out, the oldest first, and forgets them only when it is told to", async (kit) => {
    const sent = await bury(kit, 3);
    const parcels = await store(kit).exportDeadLetters(2);
    assert.equal(parcels.length, 2);
    assert.deepEqual(idsOf(await store(kit).exportDeadLetters(10)).sort(), [...sent].sort());
    assert.deepEqual((await store(kit).forgetDeadLetters(parcels)).toSorted(), idsOf(parcels).sort());
    assert.deepEqual(await store(kit).forgetDeadLetters(parcels), [], "they are gone");
    assert.deepEqual(
      await letterIds(kit),
      sent.filter((id) => !idsOf(parcels).includes(id)),
    );
  });

  claim("does not forget one that has failed again since it was given out", async (kit) => {
    await bury(kit, 1);
    const [before] = await store(kit).exportDeadLetters(1);
    assert.ok(before !== undefined);
    await kit.tick(20);
    await kit.listable.redriveDeadLetters({ ids: [before.id] }, 1);
    await kit.deadLetter(await kit.one());
    assert.deepEqual(await store(kit).forgetDeadLetters([before]), []);
    assert.deepEqual(await letterIds(kit), [before.id]);
  });

  claim("takes a dead letter of its own back: it is redriven with id, queue, priority and a higher fence", async (kit) => {
    await kit.send(kit.envelope({ n: 7 }, priority({ priority: 8 }), partitionKey({ key: "p" })));
    const first = await kit.one();
    const { fingerprint, error } = await kit.deadLetter(first);
    const parcels = await store(kit).exportDeadLetters(1);
    await store(kit).forgetDeadLetters(parcels);
    await store(kit).importDeadLetters(parcels);
    const [letter] = (await kit.listable.listDeadLetters({}, { limit: 10 })).deadLetters;
    assert.deepEqual([letter?.failure.fingerprint, letter?.failure.error, letter?.queue], [fingerprint, error, kit.queue]);
    assert.deepEqual(await kit.listable.redriveDeadLetters({}, 10), { redriven: [first.receipt.id], conflicts: [] });
    const again = await kit.one();
    assert.deepEqual([again.receipt.id, again.queue, again.priority], [first.receipt.id, kit.queue, 8]);
    assert.ok(again.receipt.fence > first.receipt.fence);
    assert.deepEqual(envelopeOf(again).message.payload, { n: 7 });
    assert.equal(envelopeOf(again).last(redelivery)?.tries.failures ?? 0, 0);
    assert.deepEqual(envelopeOf(again).last(partitionKey), { key: "p" });
    await kit.acknowledge(again);
  });

  claim("still knows the idempotency key of one that another store has", async (kit) => {
    const keyed = kit.envelope({}, idempotencyKey({ key: "k" }));
    const [id] = (await kit.send(keyed)) as [string];
    await kit.deadLetter(await kit.one());
    const parcels = await store(kit).exportDeadLetters(1);
    await store(kit).forgetDeadLetters(parcels);
    const duplicate = [{ kind: "duplicate", id, queue: kit.queue }];
    assert.deepEqual(await kit.transport.send([keyed]), duplicate, "it can come back");
    await store(kit).importDeadLetters(parcels);
    assert.deepEqual((await kit.listable.redriveDeadLetters({ ids: [id] }, 1)).redriven, [id]);
    assert.deepEqual(await kit.transport.send([keyed]), duplicate);
    await kit.acknowledge(await kit.one());
  });

  keptTests(claim);
}

/** Dead letters of another transport, with a queue of the same name. */
function keptTests(claim: Claim): void {
  const foreign = (kit: ContractKit, id: string, more: Partial<DeadLetterParcel> = {}): DeadLetterParcel => ({
    id,
    queue: kit.queue,
    priority: 5,
    body: '{"v":1,"type":"contract.message","payload":{}}',
    failure: failure(),
    failedAt: "2026-03-04T05:06:07.890Z",
    fence: 3,
    ...more,
  });
  const ID = "0197b2c4-0000-7000-8000-0000000000aa";

  claim("keeps dead letters of another transport under its name, and does not give them out again", async (kit) => {
    const [own] = await bury(kit, 1);
    await store(kit).importDeadLetters([foreign(kit, ID)], "orders");
    const { deadLetters } = await kit.listable.listDeadLetters({ ids: [ID] }, { limit: 10 });
    assert.deepEqual(
      deadLetters.map(({ id, queue, failure: { fingerprint }, failedAt }) => [id, queue, fingerprint, Date.parse(failedAt)]),
      [[ID, `orders/${kit.queue}`, failure().fingerprint, Date.parse("2026-03-04T05:06:07.890Z")]],
    );
    assert.equal((await kit.listable.listDeadLetters({ queue: `orders/${kit.queue}` }, { limit: 10 })).total, 1);
    assert.equal((await kit.listable.listDeadLetters({ queue: kit.queue }, { limit: 10 })).total, 1);
    assert.deepEqual(idsOf(await store(kit).exportDeadLetters(10)), [own]);
    if (isCountable(kit.transport)) {
      const failed = (await kit.transport.getCounts())
        .filter((each) => each.failed > 0)
        .map((each) => [each.queue, each.failed, each.ready]);
      assert.deepEqual(
        failed.sort(),
        [
          [kit.queue, 1, 0],
          [`orders/${kit.queue}`, 1, 0],
        ].sort(),
        "and they are counted",
      );
    }
    assert.deepEqual(await kit.listable.removeDeadLetters({ ids: [ID] }, 1), { removed: [ID] });
  });

  claim("keeps one of them once, however often it comes, and the newest", async (kit) => {
    const [early, late] = [foreign(kit, ID), foreign(kit, ID, { failedAt: "2026-03-05T00:00:00.000Z", failure: failure({ attempts: 9 }) })];
    for (const parcel of [early, early, late, early]) await store(kit).importDeadLetters([parcel], "orders");
    const { deadLetters, total } = await kit.listable.listDeadLetters({}, { limit: 10 });
    assert.deepEqual([total, deadLetters[0]?.failure.attempts], [1, 9]);
  });

  claim("never puts one of them into a queue of its own: without a way home it is a conflict and stays", async (kit) => {
    await store(kit).importDeadLetters([foreign(kit, ID)], "orders");
    assert.deepEqual(await kit.listable.redriveDeadLetters({}, 10), { redriven: [], conflicts: [ID] });
    await kit.assertNothingWaits();
    assert.deepEqual(await letterIds(kit), [ID]);
  });

  claim("sends them home when they are redriven, and keeps those that did not arrive", async (kit) => {
    const OTHER = "0197b2c4-0000-7000-8000-0000000000bb";
    await store(kit).importDeadLetters([foreign(kit, ID), foreign(kit, OTHER, { queue: "gone" })], "orders");
    const carried: DeadLetterParcel[] = [];
    store(kit).sendHomeBy(async (from, parcels) => {
      assert.equal(from, "orders");
      carried.push(...parcels);
      return idsOf(parcels.filter(({ queue }) => queue !== "gone"));
    });
    const [own] = await bury(kit, 1);
    const { redriven, conflicts } = await kit.listable.redriveDeadLetters({}, 10);
    assert.deepEqual([[...redriven].sort(), conflicts], [[ID, own].sort(), [OTHER]]);
    const arrived = carried.find(({ id }) => id === ID);
    assert.deepEqual(
      [arrived?.queue, arrived?.failure, JSON.parse(arrived?.body ?? "")],
      [kit.queue, failure(), JSON.parse(foreign(kit, ID).body)],
    );
    assert.deepEqual(ids(await kit.drain(1)), [own]);
    assert.deepEqual(await letterIds(kit), [OTHER]);
  });
}
