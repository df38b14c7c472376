import assert from "node:assert/strict";
import { delay, queueName } from "../../stamps.ts";
import { isCloseable, type QueueCounts } from "../../transport.ts";
import { waitFor } from "../wait-for.ts";
import type { Claim, ContractKit } from "./kit.ts";

type Numbers = Pick<QueueCounts, "ready" | "scheduled" | "active" | "failed" | "completed">;

async function assertCounts(kit: ContractKit, expected: Numbers, queue: string = kit.queue): Promise<QueueCounts> {
  let last: QueueCounts | undefined;
  const { ready, scheduled, active, failed, completed } = expected;
  const wanted = JSON.stringify({ ready, scheduled, active, failed, completed });
  const seen = (): string => {
    if (last === undefined) return "nothing";
    return JSON.stringify({
      ready: last.ready,
      scheduled: last.scheduled,
      active: last.active,
      failed: last.failed,
      completed: last.completed,
    });
  };
  try {
    await kit.eventually(async () => {
      last = (await kit.countable.getCounts()).find((counts) => counts.queue === queue);
      return seen() === wanted;
    }, `the counts ${wanted}`);
  } catch (cause) {
    throw new Error(`the counts of ${queue} stay at ${seen()}, expected ${wanted}`, { cause });
  }
  return last as QueueCounts;
}

export function capabilityTests(claim: Claim): void {
  depthTests(claim);
  countTests(claim);
  wakeTests(claim);
  setUpTests(claim);
  diagnosisTests(claim);
  measureTests(claim);

  claim(
    "closes twice, and at the same time, without complaint",
    async (kit) => {
      const transport = await kit.other();
      assert.ok(isCloseable(transport));
      await Promise.all([transport.close(), transport.close()]);
      await transport.close();
    },
    { needs: ["closeable"] },
  );

  claim(
    "closes one transport without disturbing another over the same store",
    async (kit) => {
      const other = await kit.other();
      assert.ok(isCloseable(other));
      await other.close();
      await kit.send(kit.envelope());
      await kit.acknowledge(await kit.one());
    },
    { needs: ["closeable", "reopen"] },
  );
}

function measureTests(claim: Claim): void {
  claim(
    "measures its store in numbers of 0 or more, its own connection among those that it may have",
    async (kit) => {
      const { connections, maxConnections, ...rest } = await kit.measurable.measureStore();
      assert.ok(connections >= 1 && connections <= maxConnections, `${connections} of ${maxConnections}`);
      for (const [name, value] of Object.entries(rest)) assert.ok(Number.isFinite(value) && value >= 0, `${name} is ${value}`);
    },
    { needs: ["measurable"] },
  );

  claim(
    "measures how old the oldest open transaction is",
    async (kit) => {
      const transaction = await kit.fixture.beginTransaction?.();
      assert.ok(transaction !== undefined);
      await kit.eventually(async () => (await kit.measurable.measureStore()).oldestTransactionMs > 0, "an open transaction");
      await transaction.rollback();
    },
    { needs: ["measurable", "beginTransaction"] },
  );
}

function depthTests(claim: Claim): void {
  claim(
    "counts in getQueueDepth what is ready, not what is for later, leased or dead",
    async (kit) => {
      const before = await kit.transport.getQueueDepth();
      const expectDepth = (more: number): Promise<void> =>
        kit.eventually(async () => (await kit.transport.getQueueDepth()) === before + more, `a depth of ${before} + ${more}`);
      await kit.send(
        ...kit.envelopes(4),
        kit.envelope({}, queueName({ queue: kit.queueAt(1) })),
        kit.envelope({}, delay({ delayMs: 3_600_000 })),
      );
      await expectDepth(5);
      const [first, second, third] = await kit.receive(3);
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      await expectDepth(2);
      await kit.acknowledge(first);
      await kit.deadLetter(second);
      await expectDepth(2);
      await kit.release(third);
      await expectDepth(3);
      const [again] = await kit.receive(1);
      assert.ok(again !== undefined);
      await kit.transport.reject([{ receipt: again.receipt, retryInMs: 3_600_000 }]);
      await expectDepth(2);
    },
    { queues: 2 },
  );
}

function countTests(claim: Claim): void {
  claim(
    "counts per queue what is ready, scheduled, active, failed and completed",
    async (kit) => {
      const none = { ready: 0, scheduled: 0, active: 0, failed: 0, completed: 0 };
      const empty = await assertCounts(kit, none);
      assert.equal(empty.oldestReadyAgeMs, null, "there is no oldest message in an empty queue");
      await kit.send(...kit.envelopes(7), ...kit.envelopes(2, delay({ delayMs: 3_600_000 })));
      const full = await assertCounts(kit, { ...none, ready: 7, scheduled: 2 });
      assert.ok(full.oldestReadyAgeMs !== null && full.oldestReadyAgeMs >= 0 && full.oldestReadyAgeMs < 60_000);
      const received = await kit.receive(5);
      await assertCounts(kit, { ...none, ready: 2, scheduled: 2, active: 5 });
      const [a, b, c, d, e] = received;
      assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined && e !== undefined);
      await kit.acknowledge(a, b);
      await kit.deadLetter(c);
      await kit.transport.reject([{ receipt: d.receipt, retryInMs: 3_600_000 }]);
      const late = await assertCounts(kit, { ready: 2, scheduled: 3, active: 1, failed: 1, completed: 2 });
      assert.ok(late.accuracy === "exact" || late.accuracy === "estimated");
      await kit.receive(1, { acknowledge: [e.receipt] });
      await assertCounts(kit, { ready: 1, scheduled: 3, active: 1, failed: 1, completed: 3 });
      await assertCounts(kit, none, kit.queueAt(1));
    },
    { queues: 2, needs: ["countable"] },
  );

  claim(
    "tells the age of the oldest ready message",
    async (kit) => {
      await kit.send(kit.envelope());
      const age = async (): Promise<number> => {
        const counts = (await kit.countable.getCounts()).find((each) => each.queue === kit.queue);
        return counts?.oldestReadyAgeMs ?? -1;
      };
      await kit.eventually(async () => (await age()) >= 200, "an age of 200 ms");
    },
    { needs: ["countable"] },
  );

  claim(
    "counts a redriven or removed dead letter as failed no longer",
    async (kit) => {
      const none = { ready: 0, scheduled: 0, active: 0, failed: 0, completed: 0 };
      await kit.send(...kit.envelopes(2));
      const [a, b] = await kit.drain(2);
      assert.ok(a !== undefined && b !== undefined);
      await kit.deadLetter(a);
      await kit.deadLetter(b);
      await assertCounts(kit, { ...none, failed: 2 });
      await kit.listable.redriveDeadLetters({ ids: [a.receipt.id] }, 1);
      await kit.listable.removeDeadLetters({ ids: [b.receipt.id] }, 1);
      await assertCounts(kit, { ...none, ready: 1 });
    },
    { needs: ["countable", "listable"] },
  );
}

function wakeTests(claim: Claim): void {
  claim(
    "wakes within a second of a send",
    async (kit) => {
      const woken: string[] = [];
      const stop = await kit.wakeable.onWake((queues) => woken.push(...queues));
      try {
        const sender = await kit.other();
        const start = kit.stopwatch();
        const [result] = await sender.send([kit.envelope()]);
        assert.equal(result?.kind, "accepted");
        await waitFor(() => woken.includes(kit.queue), { timeoutMs: 10_000, what: "the wake-up" });
        const afterMs = kit.stopwatch() - start;
        assert.ok(afterMs < 1000, `it took ${afterMs} ms`);
        await kit.drain(1);
      } finally {
        await stop();
      }
    },
    { needs: ["wakeable"] },
  );

  claim(
    "wakes no listener that has stopped, and goes on waking the others",
    async (kit) => {
      let stopped = 0;
      let listening = 0;
      const stop = await kit.wakeable.onWake(() => {
        stopped += 1;
      });
      const stopOther = await kit.wakeable.onWake(() => {
        listening += 1;
      });
      try {
        await stop();
        await stop();
        await kit.send(kit.envelope());
        await waitFor(() => listening > 0, { what: "the wake-up of the listener that is left" });
        assert.equal(stopped, 0);
      } finally {
        await stopOther();
      }
    },
    { needs: ["wakeable"] },
  );
}

function setUpTests(claim: Claim): void {
  claim(
    "has nothing left to set up, and says so",
    async (kit) => {
      assert.deepEqual(await kit.setUpAble.checkSetUp(), []);
    },
    { needs: ["setUpAble"] },
  );

  claim(
    "sets up again, from several places at once, without harm to what is stored",
    async (kit) => {
      const [waiting] = await kit.send(kit.envelope({ n: 1 }));
      const leased = await kit.one();
      await kit.send(kit.envelope({ n: 2 }));
      const other = await kit.other();
      await Promise.all([
        kit.setUpAble.setUp(),
        (other as typeof kit.setUpAble).setUp(),
        kit.setUpAble.setUp(),
        kit.setUpAble.setUp({ dryRun: true }),
      ]);
      assert.deepEqual(await kit.setUpAble.checkSetUp(), []);
      assert.equal(leased.receipt.id, waiting);
      await kit.acknowledge(leased);
      await kit.drain(1);
    },
    { needs: ["setUpAble"] },
  );
}

function diagnosisTests(claim: Claim): void {
  claim(
    "diagnoses without changing anything, the worst first, each finding with its cure",
    async (kit) => {
      const [waiting] = await kit.send(kit.envelope());
      const findings = await kit.diagnosable.diagnose();
      const order = ["error", "warning", "info"];
      assert.deepEqual(
        findings.map(({ severity }) => order.indexOf(severity)),
        findings.map(({ severity }) => order.indexOf(severity)).sort(),
      );
      for (const { code, finding, consequence, cure } of findings) {
        assert.match(code, /^[a-z]+(-[a-z]+)*$/);
        assert.ok(finding !== "" && consequence !== "" && cure !== "", code);
      }
      const received = await kit.one();
      assert.equal(received.receipt.id, waiting);
      await kit.acknowledge(received);
    },
    { needs: ["diagnosable"] },
  );
}
