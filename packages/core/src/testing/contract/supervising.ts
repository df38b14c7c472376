import assert from "node:assert/strict";
import { delay, queueName, redelivery, suspect } from "../../stamps.ts";
import type { WorkerPulse } from "../../transport.ts";
import { assertStatuses, type Claim, type ContractKit, envelopeOf, failure, ids, unique } from "./kit.ts";

const pulseOf = (kit: ContractKit, workerId: string, inFlight = 0): WorkerPulse => ({ worker: kit.worker(workerId), inFlight });

export function supervisingTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["supervisable", "reapable", ...(options.needs ?? [])] });

  pulseTests(claim);
  suspectTests(claim);
  adoptionTests(claim);

  claim(
    "tells whether anything is ready, in all queues or in some",
    async (kit) => {
      const [full, empty] = [kit.queueAt(0), kit.queueAt(1)];
      assert.equal(await kit.supervisable.hasReady(kit.queues), false);
      await kit.send(
        kit.envelope({}, queueName({ queue: full })),
        kit.envelope({}, queueName({ queue: empty }), delay({ delayMs: 3_600_000 })),
      );
      const answers = async (): Promise<boolean[]> => [
        await kit.supervisable.hasReady(),
        await kit.supervisable.hasReady([empty, full]),
        await kit.supervisable.hasReady([full]),
        await kit.supervisable.hasReady([empty]),
      ];
      assert.deepEqual(await answers(), [true, true, true, false]);
      await kit.one();
      assert.deepEqual(await answers(), [false, false, false, false], "what is leased is not ready");
    },
    { queues: 2 },
  );
}

function pulseTests(claim: Claim): void {
  claim("registers and renews all workers of a pulse", async (kit) => {
    const [first, second] = [unique("first"), unique("second")];
    assert.deepEqual((await kit.supervisable.pulse([pulseOf(kit, first), pulseOf(kit, second, 2)])).lost, []);
    const listed = (await kit.reapable.listWorkers()).filter((row) => row.workerId === first || row.workerId === second);
    assert.deepEqual(
      listed.map((row) => [row.workerId, row.inFlight]).sort(),
      [
        [first, 0],
        [second, 2],
      ].sort(),
    );
    await kit.send(kit.envelope());
    const received = await kit.transport.receive(1, { workerId: first, queues: kit.queues });
    await kit.silence(second);
    await kit.eventually(async () => {
      assert.deepEqual((await kit.supervisable.pulse([pulseOf(kit, first, 1)])).lost, []);
      return (await kit.reapable.reap(kit.silentMs)).workers.includes(second);
    }, `the end of ${second}`);
    const receipts = received.map((each) => each.receipt);
    assert.equal(receipts.length, 1);
    assertStatuses(await kit.transport.acknowledge(receipts), receipts, "settled");
  });

  claim("names in a pulse the workers that were reaped, every time", async (kit) => {
    const [dead, alive] = [unique("dead"), unique("alive")];
    await kit.supervisable.pulse([pulseOf(kit, dead), pulseOf(kit, alive)]);
    await kit.silence(dead);
    await kit.eventually(async () => {
      await kit.supervisable.pulse([pulseOf(kit, alive)]);
      return (await kit.reapable.reap(kit.silentMs)).workers.includes(dead);
    }, `the end of ${dead}`);
    for (let n = 0; n < 2; n++) {
      assert.deepEqual((await kit.supervisable.pulse([pulseOf(kit, alive), pulseOf(kit, dead)])).lost, [dead]);
    }
    assert.ok(!(await kit.reapable.listWorkers()).some((row) => row.workerId === dead));
  });

  claim("tells in a pulse for how long somebody has been silent, so that nobody needs to look for the dead", async (kit) => {
    const [dead, alive] = [unique("dead"), unique("alive")];
    await kit.supervisable.pulse([pulseOf(kit, dead), pulseOf(kit, alive)]);
    await kit.silence(dead);
    await kit.eventually(async () => {
      const { silentMs } = await kit.supervisable.pulse([pulseOf(kit, alive)]);
      return silentMs >= kit.silentMs;
    }, `the silence of ${dead}`);
    await kit.eventually(async () => (await kit.reapable.reap(kit.silentMs)).workers.includes(dead), `the end of ${dead}`);
  });

  claim("pulses for no worker at all", async (kit) => {
    const { lost, now } = await kit.supervisable.pulse([]);
    assert.deepEqual(lost, []);
    assert.ok(Math.abs(Date.parse(now) - kit.now()) < 60_000);
  });

  claim("asks the whole fleet to stop, with a time that workers can compare", async (kit) => {
    const before = await kit.supervisable.pulse([]);
    assert.equal(before.stopRequestedAt, null);
    await kit.tick();
    await kit.supervisable.requestStop();
    await kit.tick();
    const other = (await kit.other()) as typeof kit.supervisable;
    const after = await other.pulse([]);
    assert.ok(after.stopRequestedAt !== null, "every supervisor hears of it");
    assert.ok(Date.parse(before.now) <= Date.parse(after.stopRequestedAt), "who started before is meant");
    assert.ok(Date.parse(after.stopRequestedAt) <= Date.parse(after.now), "who starts after is not");
    await kit.tick();
    await kit.supervisable.requestStop();
    const again = await kit.supervisable.pulse([]);
    assert.ok(again.stopRequestedAt !== null && Date.parse(again.stopRequestedAt) > Date.parse(after.stopRequestedAt));
  });
}

function suspectTests(claim: Claim): void {
  claim("takes back what a dead process held as suspects, once more each time", async (kit) => {
    const sentIds = await kit.send(...kit.envelopes(3));
    for (const crashes of [1, 2]) {
      const dead = unique("dead");
      const lost = await kit.receive(3, { workerId: dead });
      assert.deepEqual(ids(lost).sort(), [...sentIds].sort());
      assert.deepEqual(await kit.supervisable.retireAsSuspects(dead), { messages: 3 });
      const receipts = lost.map((each) => each.receipt);
      assertStatuses(await kit.transport.acknowledge(receipts), receipts, "lease_lost");
      const again = await kit.drain(3);
      for (const each of again) {
        assert.deepEqual(envelopeOf(each).last(suspect), { crashes });
        assert.equal(envelopeOf(each).last(redelivery)?.tries.failures ?? 0, 0, "a suspicion uses up no retries");
        assert.equal(envelopeOf(each).last(redelivery)?.tries.crashes ?? 0, 0, "nor a crash that is not proven");
      }
      await kit.release(...again);
      assert.ok(!(await kit.reapable.listWorkers()).some((row) => row.workerId === dead));
      assert.deepEqual(await kit.supervisable.retireAsSuspects(dead), { messages: 0 });
    }
  });

  claim("suspects only what was in flight, not what was settled or waiting", async (kit) => {
    const dead = unique("dead");
    await kit.send(...kit.envelopes(3));
    const [first, second] = await kit.receive(2, { workerId: dead });
    assert.ok(first !== undefined && second !== undefined);
    await kit.acknowledge(first);
    assert.deepEqual(await kit.supervisable.retireAsSuspects(dead), { messages: 1 });
    for (const each of await kit.drain(2)) {
      assert.equal(envelopeOf(each).last(suspect)?.crashes, each.receipt.id === second.receipt.id ? 1 : undefined);
    }
  });

  claim(
    "takes back a suspect that cannot be decoded",
    async (kit) => {
      const id = await kit.fixture.corrupt?.({ queue: kit.queue, body: "[]" });
      await kit.one({ workerId: "contract-dead" });
      assert.deepEqual(await kit.supervisable.retireAsSuspects("contract-dead"), { messages: 1 });
      const again = await kit.one();
      assert.equal(again.receipt.id, id);
      assert.deepEqual(JSON.parse(again.body), []);
    },
    { needs: ["corrupt"] },
  );

  claim(
    "clears a suspicion with a redrive",
    async (kit) => {
      await kit.send(kit.envelope());
      const { receipt } = await kit.one();
      await kit.transport.reject([{ receipt, deadLetter: failure({ reason: "crashed" }), patch: { suspect: 2 } }]);
      await kit.listable.redriveDeadLetters({ ids: [receipt.id] }, 1);
      assert.equal(envelopeOf(await kit.one()).last(suspect), undefined);
    },
    { needs: ["listable"] },
  );
}

function adoptionTests(claim: Claim): void {
  claim("passes deliveries to another worker, who alone can settle them then", async (kit) => {
    const [from, to] = [unique("from"), unique("to")];
    await kit.send(...kit.envelopes(3));
    const held = await kit.receive(3, { workerId: from });
    await kit.beat(to);
    const receipts = held.map((each) => each.receipt);
    const adopted = await kit.supervisable.adopt(receipts, to);
    assert.deepEqual(ids(adopted).sort(), ids(held).sort());
    for (const each of adopted) {
      const before = held.find((other) => other.receipt.id === each.receipt.id);
      assert.ok(before !== undefined && each.receipt.fence > before.receipt.fence, "it is a new delivery");
      assert.deepEqual([each.queue, each.priority], [before.queue, before.priority]);
      assert.deepEqual(envelopeOf(each).message, envelopeOf(before).message);
    }
    await kit.assertNothingWaits();
    assertStatuses(await kit.transport.acknowledge(receipts), receipts, "lease_lost");
    assert.deepEqual(await kit.reapable.retire(from), { messages: 0 }, "the one who gave them away holds them no more");
    await kit.acknowledge(...adopted.slice(1));
    assert.deepEqual(await kit.reapable.retire(to), { messages: 1 }, "the one who took them does");
  });

  claim("adopts only what is current", async (kit) => {
    const to = unique("to");
    await kit.send(...kit.envelopes(3));
    const [done, released, current] = await kit.drain(3);
    assert.ok(done !== undefined && released !== undefined && current !== undefined);
    await kit.acknowledge(done);
    await kit.release(released);
    await kit.beat(to);
    const adopted = await kit.supervisable.adopt([done.receipt, released.receipt, current.receipt], to);
    assert.deepEqual(ids(adopted), [current.receipt.id]);
    assert.deepEqual(await kit.supervisable.adopt([current.receipt], unique("third")), [], "it has a new fence now");
    assert.deepEqual(await kit.supervisable.adopt([], to), []);
    await kit.drain(1);
  });

  claim("lets one of many adopt a delivery", async (kit) => {
    await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    const takers = Array.from({ length: 5 }, () => unique("taker"));
    for (const taker of takers) await kit.beat(taker);
    const adopted = (await Promise.all(takers.map((taker) => kit.supervisable.adopt([receipt], taker)))).flat();
    assert.equal(adopted.length, 1);
    await kit.acknowledge(...adopted);
  });
}
