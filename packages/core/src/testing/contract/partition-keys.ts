import assert from "node:assert/strict";
import { delay, partitionKey, priority } from "../../stamps.ts";
import { isCountable, isListable, isReapable, type Received } from "../../transport.ts";
import { waitFor } from "../wait-for.ts";
import { type Claim, type ContractKit, envelopeOf } from "./kit.ts";
import { LineModel } from "./line-model.ts";

const numberOf = (received: Received): number => (envelopeOf(received).message.payload as { n: number }).n;
const numbersOf = (received: readonly Received[]): number[] => received.map(numberOf);

/** Messages 1 to `count` of one key, in one call. */
const line = (kit: ContractKit, key: string, count: number) =>
  Array.from({ length: count }, (_, i) => kit.envelope({ n: i + 1 }, partitionKey({ key })));

/** The message whose turn it is; a store may need a moment to see that it has come. */
async function next(kit: ContractKit): Promise<Received> {
  if (kit.fixture.advance !== undefined) return kit.one();
  return waitFor(async () => (await kit.receive(1))[0], { timeoutMs: 15_000, what: "the next message of the key" });
}

export function partitionKeyTests(claim: Claim): void {
  claim("delivers the messages of a key one at a time, in the order in which they were sent", async (kit) => {
    await kit.send(...line(kit, "a", 3));
    await kit.send(kit.envelope({ n: 4 }, partitionKey({ key: "a" }), priority({ priority: 10 })));
    for (const expected of [1, 2, 3, 4]) {
      const received = await next(kit);
      assert.equal(numberOf(received), expected);
      assert.deepEqual(envelopeOf(received).last(partitionKey), { key: "a" });
      await kit.assertNothingWaits();
      await kit.acknowledge(received);
    }
    await kit.assertNothingWaits();
  });

  claim("lets nothing of a key pass one that waits for another attempt, or is for later", async (kit) => {
    await kit.send(...line(kit, "a", 2));
    const first = await kit.one();
    const start = kit.stopwatch();
    await kit.transport.reject([
      { receipt: first.receipt, retryInMs: 300, patch: { tries: { failures: 1, crashes: 0, interruptions: 0 } } },
    ]);
    const { received } = await kit.arrival(300, start);
    assert.equal(numberOf(received), 1);
    await kit.acknowledge(received);
    await kit.acknowledge(await next(kit));
    const later = kit.stopwatch();
    await kit.send(kit.envelope({ n: 3 }, partitionKey({ key: "a" }), delay({ delayMs: 300 })));
    await kit.send(kit.envelope({ n: 4 }, partitionKey({ key: "a" })));
    assert.equal(numberOf((await kit.arrival(300, later)).received), 3);
  });

  claim("goes on with the next one of a key when one is released, dead-lettered or acknowledged with a receive", async (kit) => {
    await kit.send(...line(kit, "a", 3));
    const first = await kit.one();
    await kit.release(first);
    const again = await next(kit);
    assert.equal(numberOf(again), 1, "released: still the first");
    await kit.deadLetter(again);
    const second = await next(kit);
    assert.equal(numberOf(second), 2);
    const found = [...(await kit.receive(10, { acknowledge: [second.receipt] }))];
    if (found.length === 0) found.push(await next(kit));
    assert.deepEqual(numbersOf(found), [3]);
  });

  claim("keeps no key from another, and no message without a key from any", async (kit) => {
    await kit.send(...line(kit, "a", 2), ...line(kit, "b", 2), kit.envelope({ n: 7 }), kit.envelope({ n: 8 }));
    const received = await kit.receive(10);
    assert.deepEqual(numbersOf(received).sort(), [1, 1, 7, 8]);
    await kit.acknowledge(...received);
    assert.deepEqual(numbersOf(await kit.receive(10)), [2, 2]);
  });

  claim("finds what is free behind a long line of one key", async (kit) => {
    await kit.send(...line(kit, "a", 300));
    await kit.send(...line(kit, "b", 1));
    const received: Received[] = [];
    while (received.length < 2) received.push(...(await kit.receive(10)));
    assert.deepEqual(
      received.map((each) => envelopeOf(each).last(partitionKey)?.key),
      ["a", "b"],
    );
    if (isCountable(kit.transport)) {
      const counts = (await kit.transport.getCounts()).find((each) => each.queue === kit.queue);
      assert.deepEqual([counts?.ready, counts?.active], [299, 2], "those behind are waiting as well");
    }
  });

  claim("delivers one of a key at a time to many workers at once", async (kit) => {
    const transports = [kit.transport, await kit.other()] as const;
    await kit.send(...line(kit, "a", 20), ...line(kit, "b", 20));
    const seen: Record<string, number[]> = { a: [], b: [] };
    const inFlight = new Set<string>();
    const work = async (worker: number): Promise<void> => {
      const transport = transports[worker % 2] ?? kit.transport;
      for (let left = 0; left < 200 && [...Object.values(seen)].some((each) => each.length < 20); left++) {
        for (const received of await kit.receive(5, { workerId: `worker-${worker}` }, transport)) {
          const key = envelopeOf(received).last(partitionKey)?.key ?? "";
          assert.ok(!inFlight.has(key), `two of key ${key} are in flight`);
          inFlight.add(key);
          seen[key]?.push(numberOf(received));
          await kit.tick(1);
          inFlight.delete(key);
          await transport.acknowledge([received.receipt]);
        }
      }
    };
    await Promise.all([0, 1, 2, 3].map(work));
    const inOrder = Array.from({ length: 20 }, (_, i) => i + 1);
    assert.deepEqual(seen, { a: inOrder, b: inOrder });
  });

  claim("keeps the order of each key through any sequence of retries, crashes, releases and dead letters", async (kit) => {
    const { seed } = kit;
    const model = new LineModel(kit, seed);
    try {
      const steps = kit.fixture.advance === undefined ? 80 : 300;
      for (let step = 0; step < steps; step++) await model.step();
      await model.finish();
      assert.equal(model.finished, model.sent);
    } catch (error) {
      throw new Error(`with the seed ${seed}`, { cause: error });
    }
  });

  claim(
    "gives the first of a key, and no other one, to somebody else when its worker dies",
    async (kit) => {
      await kit.send(...line(kit, "a", 2));
      await kit.beat("dead");
      const [lost] = await kit.receive(1, { workerId: "dead" });
      assert.ok(lost !== undefined && isReapable(kit.transport));
      await kit.transport.retire("dead");
      const received = [await next(kit)];
      assert.deepEqual(numbersOf(received), [1]);
      await kit.acknowledge(received[0] as Received);
      assert.equal(numberOf(await next(kit)), 2);
    },
    { needs: ["reapable"] },
  );

  claim(
    "puts a redriven message at the end of its line",
    async (kit) => {
      const [id] = await kit.send(...line(kit, "a", 3));
      await kit.deadLetter(await kit.one());
      assert.ok(isListable(kit.transport));
      await kit.transport.redriveDeadLetters({ ids: [id ?? ""] }, 1);
      for (const expected of [2, 3, 1]) {
        const received = await next(kit);
        assert.equal(numberOf(received), expected);
        await kit.acknowledge(received);
      }
    },
    { needs: ["listable"] },
  );
}
