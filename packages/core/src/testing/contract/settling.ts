import assert from "node:assert/strict";
import type { AttemptRecord } from "../../stamps.ts";
import { priority, queueName, redelivery, suspect } from "../../stamps.ts";
import type { Received, Rejection, Settled } from "../../transport.ts";
import { assertStatuses, CLOCK_TOLERANCE_MS, type Claim, type ContractKit, envelopeOf, failure, ids } from "./kit.ts";

const attempt = (n: number): AttemptRecord => ({
  attempt: n,
  at: new Date(1_700_000_000_000 + n).toISOString(),
  workerId: "w",
  error: { name: "TypeError", message: `attempt ${n} "broke" – ü`, code: "E_N" },
});

export function settlingTests(claim: Claim): void {
  claim("ends a message that is acknowledged", async (kit) => {
    await kit.send(kit.envelope());
    const received = await kit.one();
    await kit.acknowledge(received);
    await kit.assertGone(received.receipt);
  });

  claim("keeps a message leased until it is settled", async (kit) => {
    await kit.send(kit.envelope());
    const received = await kit.one();
    await kit.assertNothingWaits();
    await kit.tick(50);
    await kit.assertStillLeased(received);
  });

  claim("acknowledges again without harm", async (kit) => {
    const [, other] = await kit.send(...kit.envelopes(2));
    const received = await kit.drain(2);
    const first = received.find((each) => each.receipt.id !== other) as Received;
    const second = received.find((each) => each.receipt.id === other) as Received;
    await kit.acknowledge(first);
    for (let i = 0; i < 3; i++) assert.equal((await kit.transport.acknowledge([first.receipt])).length, 1);
    await Promise.all(Array.from({ length: 5 }, () => kit.transport.acknowledge([first.receipt])));
    await kit.assertStillLeased(second);
  });

  claim("settles nothing for empty lists", async (kit) => {
    assert.deepEqual(await kit.transport.acknowledge([]), []);
    assert.deepEqual(await kit.transport.reject([]), []);
  });

  claim(
    "settles messages of several queues in one call",
    async (kit) => {
      await kit.send(...kit.queues.map((queue) => kit.envelope({}, queueName({ queue }))));
      await kit.acknowledge(...(await kit.drain(3)));
      await kit.assertNothingWaits();
    },
    { queues: 3 },
  );

  ridingTests(claim);
  retryTests(claim);
  patchTests(claim);

  claim("releases to the head of the queue, at once and uncounted", async (kit) => {
    const [first, second] = await kit.send(kit.envelope({ n: 1 })).then(async (one) => {
      await kit.tick(1);
      return [...one, ...(await kit.send(kit.envelope({ n: 2 })))];
    });
    const received = await kit.one();
    assert.equal(received.receipt.id, first);
    await kit.release(received);
    const again = await kit.receive(2);
    assert.deepEqual(ids(again), [first, second]);
    const tries = envelopeOf(again[0] as Received).last(redelivery)?.tries;
    assert.deepEqual(tries ?? { failures: 0, crashes: 0, interruptions: 0 }, { failures: 0, crashes: 0, interruptions: 0 });
    assert.ok((again[0] as Received).receipt.fence > received.receipt.fence, "the fence rises with every delivery");
    assert.equal((again[0] as Received).body, received.body);
  });

  claim("keeps the priority of a message over retry and release", async (kit) => {
    await kit.send(kit.envelope({}, priority({ priority: 8 })));
    await kit.release(await kit.one());
    const { receipt, priority: released } = await kit.one();
    await kit.transport.reject([{ receipt, retryInMs: 0 }]);
    assert.deepEqual([released, (await kit.one()).priority], [8, 8]);
  });

  claim("takes a dead-lettered message out of its queue", async (kit) => {
    await kit.send(kit.envelope());
    const received = await kit.one();
    await kit.deadLetter(received);
    await kit.assertGone(received.receipt);
  });

  claim("rejects in every way in one call", (kit) => mixedRejections(kit));

  claim("settles one delivery once: of two different settlements exactly one takes effect", async (kit) => {
    for (let round = 0; round < 10; round++) {
      const [id] = await kit.send(kit.envelope({ round }));
      const { receipt } = await kit.one();
      const [acknowledged, released] = (
        await Promise.all([kit.transport.acknowledge([receipt]), kit.transport.reject([{ receipt, release: true }])])
      ).map((settled) => settled[0]?.status);
      assert.deepEqual([acknowledged, released].sort(), ["lease_lost", "settled"]);
      if (acknowledged === "settled") await kit.assertNothingWaits();
      else {
        const again = await kit.one();
        assert.equal(again.receipt.id, id);
        await kit.acknowledge(again);
      }
    }
  });
}

function ridingTests(claim: Claim): void {
  claim("acknowledges in the same call as it receives", async (kit) => {
    await kit.send(...kit.envelopes(4));
    const two = await kit.receive(2);
    const receipts = two.map((each) => each.receipt);
    const settled: Settled[] = [];
    const next = await kit.receive(2, { acknowledge: receipts, onSettled: (each) => settled.push(...each) });
    assertStatuses(settled, receipts, "settled");
    assert.equal(next.length, 2);
    for (const receipt of receipts) await kit.assertGone(receipt);
  });

  claim("acknowledges with a receive of nothing, and tells what became of it", async (kit) => {
    await kit.send(...kit.envelopes(2));
    const received = await kit.drain(2);
    const settled: Settled[] = [];
    const onSettled = (each: readonly Settled[]): void => void settled.push(...each);
    const receipts = received.map((each) => each.receipt);
    assert.deepEqual(await kit.receive(0, { acknowledge: receipts.slice(0, 1), onSettled }), []);
    assertStatuses(settled, receipts.slice(0, 1), "settled");
    settled.length = 0;
    assert.deepEqual(await kit.receive(5, { acknowledge: receipts.slice(1), onSettled }), [], "the queue is empty");
    assertStatuses(settled, receipts.slice(1), "settled");
  });

  claim("tells that a riding acknowledgement came too late, and still receives", async (kit) => {
    await kit.send(kit.envelope({ n: 1 }));
    const stale = await kit.one();
    await kit.release(stale);
    const current = await kit.one();
    const [id] = await kit.send(kit.envelope({ n: 2 }));
    const settled: Settled[] = [];
    const received = await kit.receive(5, { acknowledge: [stale.receipt], onSettled: (each) => settled.push(...each) });
    assertStatuses(settled, [stale.receipt], "lease_lost");
    assert.deepEqual(ids(received), [id]);
    await kit.assertStillLeased(current);
  });
}

function retryTests(claim: Claim): void {
  claim("retries after the delay it was given, not before", async (kit) => {
    const [id] = await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    const start = kit.stopwatch();
    const settled = await kit.transport.reject([{ receipt, retryInMs: 300 }]);
    assertStatuses(settled, [receipt], "settled");
    const { received, afterMs } = await kit.arrival(300, start);
    assert.equal(received.receipt.id, id);
    assert.ok(received.receipt.fence > receipt.fence, "the fence rises with every delivery");
    assert.ok(afterMs >= 300 - CLOCK_TOLERANCE_MS, `it came after ${afterMs} ms`);
  });

  claim("keeps retry delays to the millisecond, not to the second", async (kit) => {
    await kit.send(kit.envelope());
    let { receipt } = await kit.one();
    let fastest = Number.POSITIVE_INFINITY;
    // A busy machine may be late; one that rounds up to seconds is late every time.
    for (let round = 0; round < 5 && fastest >= 500; round++) {
      const start = kit.stopwatch();
      await kit.transport.reject([{ receipt, retryInMs: 120 }]);
      const { received, afterMs } = await kit.arrival(120, start);
      assert.ok(afterMs >= 120 - CLOCK_TOLERANCE_MS, `it came after ${afterMs} ms`);
      fastest = Math.min(fastest, afterMs);
      receipt = received.receipt;
    }
    assert.ok(fastest < 500, `a retry after 120 ms took ${fastest} ms at best`);
  });

  claim("retries at once when the delay is 0", async (kit) => {
    const [id] = await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    await kit.transport.reject([{ receipt, retryInMs: 0 }]);
    assert.equal((await kit.one()).receipt.id, id);
  });

  claim("gives each message of one call its own delay", async (kit) => {
    await kit.send(...kit.envelopes(3));
    const received = await kit.drain(3);
    const delays = [3_600_000, 0, 250] as const;
    const start = kit.stopwatch();
    await kit.transport.reject(received.map((each, i) => ({ receipt: each.receipt, retryInMs: delays[i] ?? 0 })));
    assert.equal((await kit.one()).receipt.id, received[1]?.receipt.id);
    const later = await kit.arrival(250, start);
    assert.equal(later.received.receipt.id, received[2]?.receipt.id);
    await kit.assertNothingWaits();
  });
}

function patchTests(claim: Claim): void {
  claim("stores what a rejection changes and leaves the rest of the record alone", async (kit) => {
    const envelope = kit.envelope({ keep: "me", tries: "payload's own", history: [1] });
    await kit.send(envelope);
    const first = await kit.one();
    const tries = { failures: 1, crashes: 0, interruptions: 0 };
    await kit.transport.reject([{ receipt: first.receipt, retryInMs: 0, patch: { tries, history: [attempt(1)] } }]);
    const second = await kit.one();
    assert.deepEqual(envelopeOf(second).last(redelivery), { tries, history: [attempt(1)], handled: [] });
    await kit.transport.reject([{ receipt: second.receipt, release: true, patch: { handled: ["a", "b"] } }]);
    const third = await kit.one();
    assert.deepEqual(envelopeOf(third).last(redelivery), { tries, history: [attempt(1)], handled: ["a", "b"] });
    const raised = { failures: 2, crashes: 1, interruptions: 4 };
    const patch = { tries: raised, history: [attempt(1), attempt(2)] };
    await kit.transport.reject([{ receipt: third.receipt, retryInMs: 0, patch }]);
    await kit.release(await kit.one());
    const last = envelopeOf(await kit.one());
    assert.deepEqual(last.last(redelivery), { ...patch, handled: ["a", "b"] }, "what a patch does not name stays");
    assert.deepEqual(last.message, envelope.message);
    assert.deepEqual(last.without(redelivery).stamps, envelopeOf(first).stamps);
  });

  claim("stores how often a message was a suspect, and clears it", async (kit) => {
    await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    await kit.transport.reject([{ receipt, release: true, patch: { suspect: 2 } }]);
    const suspected = await kit.one();
    assert.deepEqual(envelopeOf(suspected).last(suspect), { crashes: 2 });
    await kit.transport.reject([
      { receipt: suspected.receipt, release: true, patch: { tries: { failures: 1, crashes: 0, interruptions: 0 } } },
    ]);
    const again = await kit.one();
    assert.deepEqual(envelopeOf(again).last(suspect), { crashes: 2 }, "what a patch does not name stays");
    await kit.transport.reject([{ receipt: again.receipt, retryInMs: 0, patch: { suspect: 0 } }]);
    assert.equal(envelopeOf(await kit.one()).last(suspect), undefined);
  });

  claim("stores a history that takes the record over the size limit of a dispatch", async (kit) => {
    await kit.send(kit.envelope("x".repeat(1_047_000)));
    const { receipt } = await kit.one();
    const history = Array.from({ length: 10 }, (_, n) => ({
      ...attempt(n + 1),
      error: { name: "Error", message: "m".repeat(4000) },
    }));
    assertStatuses(await kit.transport.reject([{ receipt, retryInMs: 0, patch: { history } }]), [receipt], "settled");
    assert.deepEqual(envelopeOf(await kit.one()).last(redelivery)?.history, history);
  });
}

async function mixedRejections(kit: ContractKit): Promise<void> {
  await kit.send(...kit.envelopes(300));
  const received = await kit.drain(300, 300);
  const rejections = received.map(({ receipt }, i): Rejection => {
    if (i % 3 === 0) return { receipt, release: true };
    if (i % 3 === 1) return { receipt, deadLetter: failure(), patch: { tries: { failures: i, crashes: 0, interruptions: 0 } } };
    return { receipt, retryInMs: 0, patch: { tries: { failures: i, crashes: 0, interruptions: 0 } } };
  });
  const receipts = received.map((each) => each.receipt);
  assertStatuses(await kit.transport.reject(rejections), receipts, "settled");
  const back = await kit.drain(200, 300);
  for (const each of back) {
    const i = receipts.findIndex((receipt) => receipt.id === each.receipt.id);
    assert.notEqual(i % 3, 1, "dead-lettered messages do not come back");
    const failures = envelopeOf(each).last(redelivery)?.tries.failures ?? 0;
    assert.equal(failures, i % 3 === 0 ? 0 : i, "every message got its own patch");
  }
}
