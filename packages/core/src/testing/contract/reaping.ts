import assert from "node:assert/strict";
import { redelivery } from "../../stamps.ts";
import { assertStatuses, type Claim, type ContractKit, envelopeOf, failure, ids, unique } from "./kit.ts";

/** Reaps until `dead` was found, with every other worker beating all the while. Resolves with the messages taken back. */
async function reapUntil(kit: ContractKit, dead: string): Promise<number> {
  let messages = 0;
  await kit.silence(dead);
  await kit.eventually(async () => {
    await kit.beatAllBut(dead);
    const reaped = await kit.reapable.reap(kit.silentMs);
    const gone = reaped.workers.filter((workerId) => workerId !== dead);
    assert.deepEqual(gone, [], "workers that beat are not reaped");
    messages += reaped.messages;
    return reaped.workers.includes(dead);
  }, `the end of ${dead}`);
  return messages;
}

export function reapingTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) => register(name, body, { ...options, needs: ["reapable", ...(options.needs ?? [])] });

  claim("gives the messages of a worker that stopped beating to others, counted as interruptions", async (kit) => {
    const [dead, alive] = [unique("dead"), unique("alive")];
    const sentIds = await kit.send(...kit.envelopes(3));
    const lost = await kit.receive(3, { workerId: dead });
    const [kept] = await kit.send(kit.envelope({ kept: true }));
    const held = await kit.one({ workerId: alive });
    assert.equal(held.receipt.id, kept);
    assert.equal(await reapUntil(kit, dead), 3);
    const again = await kit.receive(10, { workerId: alive });
    assert.deepEqual(ids(again).sort(), sentIds.sort());
    for (const each of again) {
      assert.deepEqual(envelopeOf(each).last(redelivery)?.tries, { failures: 0, crashes: 0, interruptions: 1 });
      const before = lost.find((other) => other.receipt.id === each.receipt.id);
      assert.ok(before !== undefined && each.receipt.fence > before.receipt.fence, "the fence rises with every delivery");
    }
    await kit.acknowledge(held, ...again);
  });

  claim("refuses what a reaped worker settles late, before and after others have its messages", async (kit) => {
    const dead = unique("dead");
    await kit.send(...kit.envelopes(2));
    const receipts = (await kit.receive(2, { workerId: dead })).map((each) => each.receipt);
    await reapUntil(kit, dead);
    assertStatuses(await kit.transport.acknowledge(receipts), receipts, "lease_lost");
    const again = await kit.drain(2);
    assertStatuses(await kit.transport.acknowledge(receipts), receipts, "lease_lost");
    const late = receipts.map((receipt) => ({ receipt, deadLetter: failure() }));
    assertStatuses(await kit.transport.reject(late), receipts, "lease_lost");
    await kit.acknowledge(...again);
    await kit.assertNothingWaits();
  });

  claim("tells a reaped worker so at its next beat", async (kit) => {
    const dead = unique("dead");
    await kit.beat(dead);
    await reapUntil(kit, dead);
    assert.equal(await kit.reapable.beat(kit.worker(dead), 0), false);
    assert.equal(await kit.reapable.beat(kit.worker(dead), 0), false, "again and again");
    assert.equal(await kit.reapable.beat(kit.worker(unique("reborn")), 0), true, "under a new id it is welcome");
  });

  claim("adds an interruption to the counters there are, and keeps the history", async (kit) => {
    const dead = unique("dead");
    await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    const patch = { tries: { failures: 2, crashes: 1, interruptions: 4 }, history: [], handled: ["done"] };
    await kit.transport.reject([{ receipt, retryInMs: 0, patch }]);
    await kit.one({ workerId: dead });
    await reapUntil(kit, dead);
    const past = envelopeOf(await kit.one()).last(redelivery);
    assert.deepEqual(past?.tries, { failures: 2, crashes: 1, interruptions: 5 });
    assert.deepEqual(past?.handled, ["done"]);
  });

  claim("takes each message back once when many reap at the same time", async (kit) => {
    const dead = unique("dead");
    await kit.send(...kit.envelopes(40));
    await kit.receive(40, { workerId: dead });
    await kit.silence(dead);
    let messages = 0;
    const other = (await kit.other()) as typeof kit.reapable;
    await kit.eventually(async () => {
      const rounds = await Promise.all([kit.reapable, other, kit.reapable, other].map((transport) => transport.reap(kit.silentMs)));
      messages += rounds.reduce((sum, round) => sum + round.messages, 0);
      return rounds.some((round) => round.workers.includes(dead));
    }, `the end of ${dead}`);
    const again = await kit.drain(40);
    assert.equal(messages, 40);
    for (const each of again) assert.equal(envelopeOf(each).last(redelivery)?.tries.interruptions, 1);
  });

  claim("leaves settled messages of a dead worker alone", async (kit) => {
    const dead = unique("dead");
    await kit.send(...kit.envelopes(3));
    const [a, b, c] = await kit.receive(3, { workerId: dead });
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    await kit.acknowledge(a);
    await kit.deadLetter(b);
    await kit.transport.reject([{ receipt: c.receipt, retryInMs: 3_600_000 }]);
    assert.equal(await reapUntil(kit, dead), 0);
    await kit.assertNothingWaits();
  });

  claim("takes back what is leased in the name of a worker that nobody knows", async (kit) => {
    const stranger = unique("stranger");
    await kit.send(kit.envelope());
    // A worker that receives after it was reaped, or before its first beat, may be refused; a message must not be stuck.
    await kit.transport.receive(1, { workerId: stranger, queues: kit.queues }).catch(() => []);
    await kit.silence(stranger);
    await kit.eventually(async () => {
      await kit.reapable.reap(kit.silentMs);
      return (await kit.receive(1)).length === 1;
    }, "the return of the message");
  });

  claim("retires a worker: what it still holds is ready at once, and it is forgotten", async (kit) => {
    const leaving = unique("leaving");
    await kit.send(...kit.envelopes(4));
    const [first, ...rest] = await kit.receive(4, { workerId: leaving });
    assert.ok(first !== undefined);
    await kit.acknowledge(first);
    assert.deepEqual(await kit.reapable.retire(leaving), { messages: 3 });
    const again = await kit.drain(3);
    assert.deepEqual(ids(again).sort(), ids(rest).sort());
    for (const each of again) assert.equal(envelopeOf(each).last(redelivery)?.tries.failures ?? 0, 0, "a shutdown is no failure");
    const receipts = rest.map((each) => each.receipt);
    assertStatuses(await kit.transport.acknowledge(receipts), receipts, "lease_lost");
    assert.ok(!(await kit.reapable.listWorkers()).some((worker) => worker.workerId === leaving));
    assert.deepEqual(await kit.reapable.retire(leaving), { messages: 0 }, "retiring again is harmless");
    await kit.acknowledge(...again);
  });

  claim("lists the workers that beat, with what they said", async (kit) => {
    const workerId = unique("listed");
    await kit.beat(workerId);
    await kit.tick();
    assert.equal(await kit.reapable.beat(kit.worker(workerId), 3), true);
    const row = (await kit.reapable.listWorkers()).find((worker) => worker.workerId === workerId);
    assert.ok(row !== undefined);
    const { startedAt, lastBeatAt, inFlight, ...info } = row;
    assert.deepEqual(info, kit.worker(workerId));
    assert.equal(inFlight, 3);
    assert.ok(Date.parse(startedAt) <= Date.parse(lastBeatAt));
    assert.ok(Math.abs(Date.parse(lastBeatAt) - kit.now()) < 60_000);
    const dead = unique("dead");
    await kit.beat(dead);
    await reapUntil(kit, dead);
    const left = (await kit.reapable.listWorkers()).map((worker) => worker.workerId);
    assert.ok(left.includes(workerId) && !left.includes(dead), "a reaped worker is listed no more");
  });

  for (const body of ["null", "[]", '{"v":99,"payload":1}']) {
    claim(
      `takes back a record that cannot be decoded: ${body}`,
      async (kit) => {
        const dead = unique("dead");
        const id = await kit.fixture.corrupt?.({ queue: kit.queue, body });
        await kit.one({ workerId: dead });
        assert.equal(await reapUntil(kit, dead), 1);
        const again = await kit.one();
        assert.equal(again.receipt.id, id);
        assert.ok(again.decodeError !== undefined);
        await kit.acknowledge(again);
      },
      { needs: ["corrupt"] },
    );
  }
}
