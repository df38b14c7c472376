import assert from "node:assert/strict";
import { LeaseLostError } from "../../errors.ts";
import { isCancellable } from "../../message-control.ts";
import { delay, idempotencyKey } from "../../stamps.ts";
import type { Received } from "../../transport.ts";
import { assertStatuses, type Claim, type ContractKit, ids, TYPE } from "./kit.ts";

const UNKNOWN_ID = "0197b2c4-0000-7000-8000-000000000000";

export function cancellingTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) =>
    register(name, body, { ...options, needs: ["cancellable", "findable", ...(options.needs ?? [])] });
  findTests((name, body, options = {}) => register(name, body, { ...options, needs: ["findable", ...(options.needs ?? [])] }));
  waitingTests(claim);
  runningTests(claim);
}

const stateOf = async (kit: ContractKit, id: string): Promise<string | undefined> => (await kit.findable.findMessage(id))?.state;

function findTests(claim: Claim): void {
  claim("tells where a message is on its way: scheduled, waiting, active, failed, gone", async (kit) => {
    const [waiting, later] = (await kit.send(kit.envelope(), kit.envelope({}, delay({ delayMs: 3_600_000 })))) as [string, string];
    const found = await kit.findable.findMessage(waiting);
    assert.deepEqual(
      { ...found, at: undefined },
      { id: waiting, type: TYPE, queue: kit.queue, priority: 5, state: "waiting", at: undefined, workerId: null, cancelledBy: null },
    );
    assert.ok(Math.abs(Date.parse(found?.at ?? "") - kit.now()) < 60_000, found?.at);
    const scheduled = await kit.findable.findMessage(later);
    assert.equal(scheduled?.state, "scheduled");
    assert.ok(Date.parse(scheduled?.at ?? "") > kit.now() + 3_000_000, "its due time");
    const received = await kit.one({ workerId: "holder" });
    const active = await kit.findable.findMessage(waiting);
    assert.deepEqual([active?.state, active?.workerId], ["active", "holder"]);
    await kit.deadLetter(received);
    assert.equal(await stateOf(kit, waiting), "failed");
    const [handled] = (await kit.send(kit.envelope())) as [string];
    await kit.acknowledge(await kit.one());
    assert.equal(await stateOf(kit, handled), undefined, "nothing stays of what was handled");
    assert.equal(await kit.findable.findMessage(UNKNOWN_ID), undefined);
    assert.equal(await kit.findable.findMessage("not an id"), undefined);
  });
}

function waitingTests(claim: Claim): void {
  claim("removes a message that waits, and remembers who did it", async (kit) => {
    const [first, second, later] = (await kit.send(...kit.envelopes(2), kit.envelope({}, delay({ delayMs: 3_600_000 })))) as [
      string,
      string,
      string,
    ];
    const queue = kit.queue;
    assert.deepEqual(await kit.cancellable.cancelMessage(first, "ada"), { kind: "removed", queue });
    assert.deepEqual(await kit.cancellable.cancelMessage(later), { kind: "removed", queue });
    assert.deepEqual(ids(await kit.drain(1)), [second]);
    const found = await kit.findable.findMessage(first);
    assert.deepEqual([found?.state, found?.cancelledBy, found?.queue], ["cancelled", "ada", queue]);
    assert.deepEqual(await kit.cancellable.cancelMessage(first, "grace"), { kind: "over", queue, state: "cancelled" });
    assert.equal((await kit.findable.findMessage(first))?.cancelledBy, "ada");
  });

  claim("removes a message that waits to be tried again", async (kit) => {
    const [id] = (await kit.send(kit.envelope())) as [string];
    const { receipt } = await kit.one();
    assertStatuses(await kit.transport.reject([{ receipt, retryInMs: 3_600_000 }]), [receipt], "settled");
    assert.deepEqual(await kit.cancellable.cancelMessage(id), { kind: "removed", queue: kit.queue });
    await kit.assertGone(receipt);
  });

  claim(
    "removes a message that a pause of its type holds back",
    async (kit) => {
      const [id] = (await kit.send(kit.envelope())) as [string];
      await kit.pausable.pauseQueue({ queue: kit.queue, type: TYPE });
      await kit.assertNothingWaits();
      assert.deepEqual(await kit.cancellable.cancelMessage(id), { kind: "removed", queue: kit.queue });
      await kit.pausable.resumeQueue({ queue: kit.queue, type: TYPE });
      await kit.assertNothingWaits();
    },
    { needs: ["pausable"] },
  );

  claim("keeps the idempotency key of a cancelled message", async (kit) => {
    const keyed = (): ReturnType<ContractKit["envelope"]> => kit.envelope({ n: 1 }, idempotencyKey({ key: "k" }));
    const [id] = (await kit.send(keyed())) as [string];
    await kit.cancellable.cancelMessage(id);
    assert.deepEqual(await kit.transport.send([keyed()]), [{ kind: "duplicate", id, queue: kit.queue }]);
    await kit.assertNothingWaits();
  });

  claim("says when it is too late, and what it does not know", async (kit) => {
    const [id] = (await kit.send(kit.envelope())) as [string];
    await kit.deadLetter(await kit.one());
    assert.deepEqual(await kit.cancellable.cancelMessage(id), { kind: "over", queue: kit.queue, state: "failed" });
    assert.equal((await kit.cancellable.cancelMessage(UNKNOWN_ID)).kind, "unknown");
    assert.equal((await kit.cancellable.cancelMessage("not an id")).kind, "unknown");
  });
}

function runningTests(claim: Claim): void {
  /** A message that a worker holds. */
  async function held(kit: ContractKit): Promise<{ id: string; received: Received }> {
    const [id] = (await kit.send(kit.envelope())) as [string];
    return { id, received: await kit.one({ workerId: "holder" }) };
  }

  claim(
    "ends a running message for good: no settlement of its delivery counts, and no other delivery follows",
    async (kit) => {
      for (const settle of ["acknowledge", "retry", "deadLetter", "release"] as const) {
        const { id, received } = await held(kit);
        const { receipt } = received;
        const other = await kit.other();
        assert.ok(isCancellable(other));
        assert.deepEqual(await other.cancelMessage(id, "ada"), { kind: "interrupted", queue: kit.queue, workerId: "holder" });
        const error = { name: "Error", message: "it broke" };
        const failure = { reason: "unrecoverable", error, fingerprint: "0", attempts: 1, workerId: "holder" } as const;
        const settled =
          settle === "acknowledge"
            ? await kit.transport.acknowledge([receipt])
            : await kit.transport.reject([
                settle === "retry"
                  ? { receipt, retryInMs: 0 }
                  : settle === "deadLetter"
                    ? { receipt, deadLetter: failure }
                    : { receipt, release: true },
              ]);
        assertStatuses(settled, [receipt], "lease_lost");
        await kit.assertNothingWaits();
        assert.equal(await stateOf(kit, id), "cancelled");
      }
    },
    { needs: ["reopen"] },
  );

  claim("tells the holder which of its deliveries were cancelled", async (kit) => {
    const [first, second] = [await held(kit), await held(kit)];
    const receipts = [first.received.receipt, second.received.receipt];
    assert.deepEqual(await kit.cancellable.findCancelled(receipts), []);
    await kit.cancellable.cancelMessage(second.id);
    assert.deepEqual(
      (await kit.cancellable.findCancelled(receipts)).map((receipt) => receipt.id),
      [second.id],
    );
    await kit.acknowledge(first.received);
    assert.deepEqual(await kit.cancellable.findCancelled([first.received.receipt]), [], "handled is not cancelled");
  });

  claim(
    "tells listeners on every transport that something was cancelled",
    async (kit) => {
      const other = await kit.other();
      assert.ok(isCancellable(other));
      let told = 0;
      const stop = await other.onCancel(() => {
        told += 1;
      });
      const { id } = await held(kit);
      await kit.cancellable.cancelMessage(id);
      await kit.eventually(async () => {
        await other.receive(1, { workerId: "listener", queues: kit.queues });
        return told > 0;
      }, "the news of the cancellation");
      await stop();
    },
    { needs: ["reopen"] },
  );

  claim(
    "rolls a transaction back whose message was cancelled",
    async (kit) => {
      const { id, received } = await held(kit);
      await assert.rejects(
        kit.transactional.transaction(received.receipt, async (client) => {
          await kit.transport.send([kit.envelope({ late: true })], { transaction: client });
          await kit.cancellable.cancelMessage(id);
        }),
        (error) => error instanceof LeaseLostError,
      );
      await kit.assertNothingWaits();
    },
    { needs: ["transactional"] },
  );

  claim(
    "does not bring a cancelled message back when its worker dies",
    async (kit) => {
      const { id } = await held(kit);
      await kit.cancellable.cancelMessage(id);
      await kit.reapable.retire("holder");
      await kit.assertNothingWaits();
      assert.equal(await stateOf(kit, id), "cancelled");
    },
    { needs: ["reapable"] },
  );
}
