import assert from "node:assert/strict";
import { redelivery } from "../../stamps.ts";
import { isListable, type Receipt, type Received, type Rejection } from "../../transport.ts";
import { assertStatuses, type Claim, type ContractKit, envelopeOf, failure } from "./kit.ts";

const patch = { tries: { failures: 77, crashes: 77, interruptions: 77 }, handled: ["stale"] };

const STALE: Readonly<Record<string, (receipt: Receipt) => Rejection>> = {
  retry: (receipt) => ({ receipt, retryInMs: 0, patch }),
  "retry for later": (receipt) => ({ receipt, retryInMs: 3_600_000, patch }),
  "dead letter": (receipt) => ({ receipt, deadLetter: failure(), patch }),
  release: (receipt) => ({ receipt, release: true, patch }),
};

/** A delivery that is over, and the one that came after it. */
async function overtaken(kit: ContractKit): Promise<{ stale: Received; current: Received }> {
  await kit.send(kit.envelope());
  const stale = await kit.one();
  await kit.release(stale);
  const current = await kit.one({ workerId: "contract-worker-2" });
  assert.equal(current.receipt.id, stale.receipt.id);
  assert.ok(current.receipt.fence > stale.receipt.fence, "the fence rises with every delivery");
  return { stale, current };
}

async function assertUntouched(kit: ContractKit, current: Received): Promise<void> {
  await kit.assertNothingWaits();
  if (isListable(kit.transport)) {
    const { deadLetters } = await kit.transport.listDeadLetters({ queue: kit.queue }, { limit: 10 });
    assert.deepEqual(deadLetters, []);
  }
  await kit.release(current);
  const next = await kit.one();
  assert.equal(next.receipt.id, current.receipt.id);
  assert.equal(envelopeOf(next).last(redelivery), undefined, "the patch of a stale rejection is not stored");
  await kit.acknowledge(next);
}

export function fencingTests(claim: Claim): void {
  claim("refuses the acknowledgement of an earlier delivery, and changes nothing", async (kit) => {
    const { stale, current } = await overtaken(kit);
    assertStatuses(await kit.transport.acknowledge([stale.receipt]), [stale.receipt], "lease_lost");
    await assertUntouched(kit, current);
  });

  for (const [kind, reject] of Object.entries(STALE)) {
    claim(`refuses the ${kind} of an earlier delivery, and changes nothing`, async (kit) => {
      const { stale, current } = await overtaken(kit);
      assertStatuses(await kit.transport.reject([reject(stale.receipt)]), [stale.receipt], "lease_lost");
      await assertUntouched(kit, current);
    });

    claim(`refuses the ${kind} of a message that was acknowledged`, async (kit) => {
      await kit.send(kit.envelope());
      const { receipt, ...rest } = await kit.one();
      await kit.acknowledge({ receipt, ...rest });
      assertStatuses(await kit.transport.reject([reject(receipt)]), [receipt], "lease_lost");
      await kit.assertNothingWaits();
    });
  }

  claim("refuses to settle a delivery that was given back, before anybody has the message", async (kit) => {
    for (const giveBack of [
      (receipt: Receipt): Rejection => ({ receipt, release: true }),
      (receipt: Receipt): Rejection => ({ receipt, retryInMs: 0 }),
    ]) {
      const [id] = await kit.send(kit.envelope());
      const { receipt } = await kit.one();
      await kit.transport.reject([giveBack(receipt)]);
      assertStatuses(await kit.transport.acknowledge([receipt]), [receipt], "lease_lost");
      assertStatuses(await kit.transport.reject([{ receipt, deadLetter: failure() }]), [receipt], "lease_lost");
      const again = await kit.one();
      assert.equal(again.receipt.id, id);
      await kit.acknowledge(again);
    }
  });

  claim("refuses an acknowledgement of a dead-lettered message, and keeps the dead letter", async (kit) => {
    await kit.send(kit.envelope());
    const received = await kit.one();
    await kit.deadLetter(received);
    assertStatuses(await kit.transport.acknowledge([received.receipt]), [received.receipt], "lease_lost");
    if (!isListable(kit.transport)) return;
    const { deadLetters } = await kit.transport.listDeadLetters({ queue: kit.queue }, { limit: 10 });
    assert.equal(deadLetters.length, 1);
  });

  claim("settles the current ones of a call that also has stale ones", async (kit) => {
    const { stale, current } = await overtaken(kit);
    await kit.send(kit.envelope({ n: 2 }));
    const fresh = await kit.one();
    const settled = await kit.transport.acknowledge([stale.receipt, fresh.receipt]);
    assert.deepEqual(new Map(settled.map((each) => [each.receipt.fence + each.receipt.id, each.status])), statusesOf(stale, fresh));
    await kit.assertStillLeased(current);

    await kit.send(kit.envelope({ n: 3 }));
    const last = await kit.one();
    const rejected = await kit.transport.reject([
      { receipt: stale.receipt, release: true },
      { receipt: last.receipt, deadLetter: failure() },
    ]);
    assert.deepEqual(new Map(rejected.map((each) => [each.receipt.fence + each.receipt.id, each.status])), statusesOf(stale, last));
    await kit.assertNothingWaits();
  });

  claim("refuses receipts that were never given out", async (kit) => {
    const [id] = await kit.send(kit.envelope());
    const forged = [0, 1, 2, 99].map((fence): Receipt => ({ id: id as string, queue: kit.queue, fence }));
    assertStatuses(await kit.transport.acknowledge(forged), forged, "lease_lost");
    const { receipt } = await kit.one();
    const strangers: Receipt[] = [
      { ...receipt, id: "00000000-0000-7000-8000-000000000000" },
      { ...receipt, fence: receipt.fence + 1 },
    ];
    assertStatuses(await kit.transport.acknowledge(strangers), strangers, "lease_lost");
    assertStatuses(await kit.transport.acknowledge([receipt]), [receipt], "settled");
  });
}

const statusesOf = (stale: Received, current: Received): Map<string, string> =>
  new Map([
    [stale.receipt.fence + stale.receipt.id, "lease_lost"],
    [current.receipt.fence + current.receipt.id, "settled"],
  ]);
