import assert from "node:assert/strict";
import { CountMismatchError, MessengerError } from "../../errors.ts";
import { isPausable, type Pausable } from "../../queue-control.ts";
import { delay, idempotencyKey, queueName, redelivery } from "../../stamps.ts";
import type { Received, Transport } from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { type Claim, type ContractKit, envelopeOf, ids, TYPE } from "./kit.ts";

const OTHER_TYPE = "contract.other";

export function controllingTests(register: Claim): void {
  const pausing: Claim = (name, body, options = {}) => register(name, body, { ...options, needs: ["pausable", ...(options.needs ?? [])] });
  const purging: Claim = (name, body, options = {}) => register(name, body, { ...options, needs: ["purgeable", ...(options.needs ?? [])] });
  queuePauseTests(pausing);
  typePauseTests(pausing);
  pauseListTests(pausing);
  purgeTests(purging);
}

const ofType = (kit: ContractKit, type: string, payload: unknown = {}) => testEnvelope(type, payload, [queueName({ queue: kit.queue })]);

async function otherPausable(kit: ContractKit): Promise<Transport & Pausable> {
  const other = await kit.other();
  assert.ok(isPausable(other));
  return other;
}

/** A pause takes effect within a poll: until then what is received goes back. Resolves with what is not held back. */
async function withoutHeld(kit: ContractKit, isHeld: (received: Received) => boolean, max = 100): Promise<readonly Received[]> {
  let last: readonly Received[] = [];
  await kit.eventually(async () => {
    last = await kit.receive(max);
    if (!last.some(isHeld)) return true;
    await kit.release(...last);
    return false;
  }, "the pause");
  return last;
}

const isOfType = (received: Received): boolean => received.envelope?.message.type === TYPE;

const isNotFound = (error: unknown): boolean => error instanceof MessengerError && error.code === "QUEUE_NOT_FOUND";

function queuePauseTests(claim: Claim): void {
  claim(
    "gives nobody a message of a paused queue, and all in order after the resume",
    async (kit) => {
      const other = await otherPausable(kit);
      const sentIds = await kit.send(...kit.envelopes(3));
      // Whoever has received before must notice as well.
      await kit.release(...(await kit.receive(1)));
      await other.pauseQueue({ queue: kit.queue });
      assert.deepEqual(await withoutHeld(kit, () => true), []);
      assert.deepEqual(await kit.receive(5, {}, other), []);
      assert.equal((await kit.transport.send([kit.envelope({ late: true })]))[0]?.kind, "accepted", "dispatching goes on");
      await kit.assertNothingWaits();
      assert.equal(await other.resumeQueue({ queue: kit.queue }), true);
      const received = await kit.drain(4);
      assert.deepEqual(ids(received).slice(0, 3), sentIds);
      for (const each of received) assert.equal(envelopeOf(each).last(redelivery)?.tries.failures ?? 0, 0);
    },
    { needs: ["reopen"] },
  );

  claim(
    "goes on giving out the other queues while one is paused",
    async (kit) => {
      const [paused, open] = [kit.queueAt(0), kit.queueAt(1)];
      await kit.pausable.pauseQueue({ queue: paused });
      await kit.send(kit.envelope({ n: 1 }, queueName({ queue: paused })), kit.envelope({ n: 2 }, queueName({ queue: open })));
      const received = await kit.receive();
      assert.deepEqual(
        received.map((each) => each.queue),
        [open],
      );
      await kit.acknowledge(...received);
      await kit.assertNothingWaits();
    },
    { queues: 2 },
  );

  claim("settles what was received before the pause", async (kit) => {
    await kit.send(...kit.envelopes(2));
    const [first, second] = await kit.receive(2);
    assert.ok(first !== undefined && second !== undefined);
    await kit.pausable.pauseQueue({ queue: kit.queue });
    const settled: unknown[] = [];
    await kit.receive(1, { acknowledge: [first.receipt], onSettled: (each) => settled.push(...each) });
    assert.deepEqual(settled, [{ receipt: first.receipt, status: "settled" }]);
    await kit.release(second);
    await kit.assertNothingWaits();
  });

  claim(
    "does not tell of ready messages that a pause holds back",
    async (kit) => {
      await kit.send(kit.envelope());
      assert.equal(await kit.supervisable.hasReady(kit.queues), true);
      await (await otherPausable(kit)).pauseQueue({ queue: kit.queue });
      assert.equal(await kit.supervisable.hasReady(kit.queues), false);
      assert.equal(await kit.supervisable.hasReady(), false);
    },
    { needs: ["supervisable"] },
  );
}

function typePauseTests(claim: Claim): void {
  claim(
    "holds back the messages of a paused type only, however many are in front",
    async (kit) => {
      const other = await otherPausable(kit);
      const held = await kit.send(...kit.envelopes(12));
      const [free] = await kit.send(ofType(kit, OTHER_TYPE));
      await other.pauseQueue({ queue: kit.queue, type: TYPE });
      const received = await withoutHeld(kit, isOfType, 5);
      assert.deepEqual(ids(received), [free]);
      await kit.acknowledge(...received);
      await kit.assertNothingWaits();
      assert.equal(await other.resumeQueue({ queue: kit.queue, type: TYPE }), true);
      const back = await kit.drain(12);
      assert.deepEqual(ids(back), held, "in their old order");
      for (const each of back) assert.equal(envelopeOf(each).last(redelivery)?.tries.failures ?? 0, 0, "nothing was counted");
      await kit.acknowledge(...back);
    },
    { needs: ["reopen"] },
  );

  claim("holds back a message that becomes due while its type is paused", async (kit) => {
    await kit.pausable.pauseQueue({ queue: kit.queue, type: TYPE });
    await kit.send(kit.envelope({}, delay({ delayMs: 50 })), ofType(kit, OTHER_TYPE));
    const [free] = await kit.receive(1);
    assert.ok(free !== undefined);
    await kit.acknowledge(free);
    await kit.tick(60);
    await kit.assertNothingWaits();
    await kit.pausable.resumeQueue({ queue: kit.queue, type: TYPE });
    await kit.drain(1);
  });

  claim(
    "counts what a paused type holds back as ready",
    async (kit) => {
      await kit.send(...kit.envelopes(3));
      await kit.pausable.pauseQueue({ queue: kit.queue, type: TYPE });
      await kit.assertNothingWaits();
      const counts = (await kit.countable.getCounts()).find(({ queue }) => queue === kit.queue);
      assert.deepEqual(
        { ready: counts?.ready, active: counts?.active, scheduled: counts?.scheduled },
        { ready: 3, active: 0, scheduled: 0 },
      );
      assert.equal(await kit.transport.getQueueDepth(), 3);
    },
    { needs: ["countable"] },
  );

  claim("resumes one of two paused types", async (kit) => {
    await kit.pausable.pauseQueue({ queue: kit.queue, type: TYPE });
    await kit.pausable.pauseQueue({ queue: kit.queue, type: OTHER_TYPE });
    await kit.send(kit.envelope(), ofType(kit, OTHER_TYPE));
    await kit.assertNothingWaits();
    await kit.pausable.resumeQueue({ queue: kit.queue, type: OTHER_TYPE });
    const [received] = await kit.drain(1);
    assert.equal(received?.envelope?.message.type, OTHER_TYPE);
  });
}

function pauseListTests(claim: Claim): void {
  claim("lists who paused what; a second pause changes nothing", async (kit) => {
    const { queue, pausable } = kit;
    await pausable.pauseQueue({ queue, type: TYPE }, "ada");
    await pausable.pauseQueue({ queue }, "ada");
    const before = await pausable.listPauses();
    await kit.tick();
    await pausable.pauseQueue({ queue }, "grace");
    assert.deepEqual(await pausable.listPauses(), before);
    assert.deepEqual(
      before.map((pause) => [pause.queue, pause.type, pause.pausedBy]),
      [
        [queue, undefined, "ada"],
        [queue, TYPE, "ada"],
      ],
    );
    for (const { pausedAt } of before) assert.ok(Math.abs(Date.parse(pausedAt) - kit.now()) < 60_000, pausedAt);
    assert.equal(await pausable.resumeQueue({ queue }), true);
    assert.equal(await pausable.resumeQueue({ queue }), false, "it was resumed already");
    assert.deepEqual(
      (await pausable.listPauses()).map((pause) => pause.type),
      [TYPE],
    );
  });

  claim("refuses to pause or resume a queue that does not exist", async (kit) => {
    const queue = "no-such-queue";
    await assert.rejects(kit.pausable.pauseQueue({ queue }), isNotFound);
    await assert.rejects(kit.pausable.resumeQueue({ queue }), isNotFound);
  });
}

function purgeTests(claim: Claim): void {
  claim("purges what waits, ready or for later, and nothing in flight", async (kit) => {
    await kit.send(...kit.envelopes(3), kit.envelope({}, delay({ delayMs: 3_600_000 })));
    const running = await kit.one();
    assert.equal(await kit.purgeable.countPurgeable({ queue: kit.queue }), 3);
    assert.deepEqual(await kit.purgeable.purgeQueue(kit.queue), { removed: 3 });
    await kit.assertStillLeased(running);
    assert.equal(await kit.purgeable.countPurgeable({ queue: kit.queue }), 0);
  });

  claim("purges nothing when another number waits than was expected, and says which", async (kit) => {
    await kit.send(...kit.envelopes(3));
    for (const expectedCount of [0, 2, 4]) {
      await assert.rejects(
        kit.purgeable.purgeQueue(kit.queue, { expectedCount }),
        (error) => error instanceof CountMismatchError && error.code === "COUNT_MISMATCH" && error.details.count === 3,
      );
    }
    assert.deepEqual(await kit.purgeable.purgeQueue(kit.queue, { expectedCount: 3 }), { removed: 3 });
    await kit.assertNothingWaits();
  });

  claim(
    "purges one type, also when a pause holds it back",
    async (kit) => {
      await kit.send(...kit.envelopes(2), ofType(kit, OTHER_TYPE));
      await kit.pausable.pauseQueue({ queue: kit.queue, type: TYPE });
      const free = await kit.one();
      await kit.release(free);
      assert.equal(await kit.purgeable.countPurgeable({ queue: kit.queue, type: TYPE }), 2);
      assert.deepEqual(await kit.purgeable.purgeQueue(kit.queue, { type: TYPE, expectedCount: 2 }), { removed: 2 });
      await kit.pausable.resumeQueue({ queue: kit.queue, type: TYPE });
      assert.deepEqual(ids(await kit.drain(1)), ids([free]));
    },
    { needs: ["pausable"] },
  );

  claim(
    "brings back what an audited purge has removed",
    async (kit) => {
      const sentIds = await kit.send(...kit.envelopes(3));
      const entry = { actor: { kind: "token", name: "ada" }, action: "purge", target: kit.queue } as const;
      const { auditId } = await kit.auditable.audited(entry, async () => {
        const { removed } = await kit.purgeable.purgeQueue(kit.queue);
        return { value: removed, count: removed };
      });
      await kit.assertNothingWaits();
      assert.equal((await kit.auditable.undoAudited(auditId, { ...entry, action: "undo" })).restored, 3);
      assert.deepEqual(ids(await kit.drain(3)), sentIds);
    },
    { needs: ["auditable"] },
  );

  claim(
    "purges only the queue that is named, and its idempotency keys",
    async (kit) => {
      const keyed = kit.envelope({}, idempotencyKey({ key: "k" }));
      await kit.send(keyed, kit.envelope({}, queueName({ queue: kit.queueAt(1) })));
      await kit.purgeable.purgeQueue(kit.queue);
      assert.equal((await kit.transport.send([kit.envelope({ other: true }, idempotencyKey({ key: "k" }))]))[0]?.kind, "accepted");
      await kit.drain(2);
      await assert.rejects(kit.purgeable.purgeQueue("no-such-queue"), isNotFound);
    },
    { queues: 2 },
  );
}
