import assert from "node:assert/strict";
import { type AttemptRecord, idempotencyKey, messageId, priority, queueName, redelivery } from "../../stamps.ts";
import type { DeadLetter, DeadLetterFilter, Failure, Received } from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { assertStatuses, type Claim, type ContractKit, envelopeOf, failure, ids, TYPE } from "./kit.ts";

const HISTORY: readonly AttemptRecord[] = [
  { attempt: 1, at: "2026-01-02T03:04:05.678Z", workerId: "w", error: { name: "Error", message: "first" } },
  { attempt: 2, at: "2026-01-02T03:04:06.789Z", workerId: "w", error: { name: "RangeError", message: "second", code: "E2" } },
];
const SPENT = { tries: { failures: 4, crashes: 2, interruptions: 1 }, history: HISTORY };

const list = async (kit: ContractKit, filter: DeadLetterFilter = {}, limit = 100): Promise<readonly DeadLetter[]> =>
  (await kit.listable.listDeadLetters(filter, { limit })).deadLetters;

/** Sends `count` messages and dead-letters all in one call, so that many share one time. */
async function manyDeadLetters(kit: ContractKit, count: number, more: (n: number) => Partial<Failure> = () => ({})): Promise<string[]> {
  await kit.send(...kit.envelopes(count));
  const received = await kit.drain(count);
  const receipts = received.map((each) => each.receipt);
  const settled = await kit.transport.reject(receipts.map((receipt, n) => ({ receipt, deadLetter: failure(more(n)) })));
  assertStatuses(settled, receipts, "settled");
  return ids(received);
}

/** Sends one message and dead-letters it after some attempts. */
async function spent(kit: ContractKit, key?: string): Promise<Received> {
  const stamps = [priority({ priority: 8 }), ...(key === undefined ? [] : [idempotencyKey({ key })])];
  await kit.send(kit.envelope({ redrive: "me" }, ...stamps));
  const received = await kit.one();
  const settled = await kit.transport.reject([{ receipt: received.receipt, deadLetter: failure({ attempts: 6 }), patch: SPENT }]);
  assertStatuses(settled, [received.receipt], "settled");
  return received;
}

export function deadLetterTests(register: Claim): void {
  const claim: Claim = (name, body, options = {}) => register(name, body, { ...options, needs: ["listable", ...(options.needs ?? [])] });

  claim("lists a dead letter with its record unchanged and its failure in full", async (kit) => {
    const [id] = await kit.send(kit.envelope({ text: "ü", big: "x".repeat(5000) }, priority({ priority: 2 })));
    const received = await kit.one();
    const given = await kit.deadLetter(received, {
      reason: "retries_exhausted",
      attempts: 4,
      fingerprint: "fedcba9876543210",
      workerId: "host:1:x",
    });
    const [letter, ...others] = await list(kit);
    assert.ok(letter !== undefined && others.length === 0);
    assert.deepEqual([letter.id, letter.type, letter.queue, letter.priority], [id, TYPE, kit.queue, 2]);
    assert.deepEqual(JSON.parse(letter.body), JSON.parse(received.body), "the record is what was received");
    assert.deepEqual(letter.envelope?.message, envelopeOf(received).message);
    assert.deepEqual(letter.failure, given);
    assert.match(letter.failedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    assert.ok(Math.abs(Date.parse(letter.failedAt) - kit.now()) < 60_000, `failed now, not at ${letter.failedAt}`);
  });

  claim("keeps counters, history and handlers done with the dead letter", async (kit) => {
    await kit.send(kit.envelope());
    const { receipt } = await kit.one();
    const patch = { ...SPENT, handled: ["done"] };
    await kit.transport.reject([{ receipt, deadLetter: failure({ reason: "timed_out" }), patch }]);
    const [letter] = await list(kit);
    assert.deepEqual(letter?.envelope?.last(redelivery), patch);
    assert.equal(letter?.failure.reason, "timed_out");
  });

  claim("keeps a failure with a large error", async (kit) => {
    const error = { name: "Error", message: `"ü"\n`.repeat(500), stack: "    at f (x.ts)\n".repeat(400), code: "E" };
    await manyDeadLetters(kit, 1, () => ({ error }));
    assert.deepEqual((await list(kit))[0]?.failure.error, error);
  });

  undecodableTests(claim);
  filterTests(claim);
  pagingTests(claim);
  redriveTests(claim);

  claim("removes dead letters for good, and only those that the filter names", async (kit) => {
    const all = await manyDeadLetters(kit, 5);
    const [first, second] = all as [string, string];
    assert.deepEqual([...(await kit.listable.removeDeadLetters({ ids: [first, second] }, 100)).removed].sort(), [first, second].sort());
    assert.deepEqual((await list(kit)).map((letter) => letter.id).sort(), all.slice(2).sort());
    assert.deepEqual((await kit.listable.removeDeadLetters({ ids: [first] }, 100)).removed, [], "it is gone already");
    assert.deepEqual((await kit.listable.redriveDeadLetters({ ids: [first] }, 100)).redriven, []);
    assert.equal((await kit.listable.removeDeadLetters({ queue: kit.queue }, 2)).removed.length, 2, "no more than the limit");
    assert.equal((await list(kit)).length, 1);
    await kit.assertNothingWaits();
  });

  claim("removes nothing that is waiting or leased", async (kit) => {
    const [leased, waiting] = await kit.send(...kit.envelopes(2));
    const received = await kit.one();
    const { removed } = await kit.listable.removeDeadLetters({ ids: [leased as string, waiting as string] }, 100);
    assert.deepEqual(removed, []);
    await kit.acknowledge(received);
    await kit.drain(1);
  });
}

function undecodableTests(claim: Claim): void {
  for (const body of ["null", '"text"', "[]", "{}", '{"v":1}', '{"v":99,"type":"t","payload":{"a":1}}']) {
    claim(
      `dead-letters, redrives and removes a record that cannot be decoded: ${body}`,
      async (kit) => {
        const id = await kit.fixture.corrupt?.({ queue: kit.queue, body });
        const given = await kit.deadLetter(await kit.one(), { reason: "undecodable", attempts: 0 });
        const [letter] = await list(kit);
        assert.deepEqual([letter?.id, letter?.queue, letter?.failure], [id, kit.queue, given]);
        assert.equal(letter?.envelope, undefined);
        assert.equal(letter?.type, null);
        assert.deepEqual(JSON.parse(letter?.body ?? ""), JSON.parse(body));
        assert.deepEqual((await kit.listable.redriveDeadLetters({ ids: [id as string] }, 1)).redriven, [id]);
        const again = await kit.one();
        assert.ok(again.decodeError !== undefined);
        assert.deepEqual(JSON.parse(again.body), JSON.parse(body));
        await kit.deadLetter(again, { reason: "undecodable" });
        assert.deepEqual((await kit.listable.removeDeadLetters({ queue: kit.queue }, 10)).removed, [id]);
        assert.deepEqual(await list(kit), []);
      },
      { needs: ["corrupt"] },
    );
  }
}

function filterTests(claim: Claim): void {
  claim(
    "filters by id, type, queue and fingerprint, also together",
    async (kit) => {
      const [a, b] = [kit.queueAt(0), kit.queueAt(1)];
      const make = (type: string, queue: string) => testEnvelope(type, {}, [queueName({ queue })]);
      await kit.send(make("type.one", a), make("type.two", a), make("type.one", b), make("type.two", b));
      for (const received of await kit.drain(4)) {
        const fingerprint = `${received.queue === a ? "a" : "b"}${envelopeOf(received).message.type === "type.one" ? "1" : "2"}`.padEnd(
          16,
          "0",
        );
        await kit.deadLetter(received, { fingerprint });
      }
      const all = await list(kit);
      const expect = async (filter: DeadLetterFilter, fits: (letter: DeadLetter) => boolean): Promise<void> => {
        const wanted = all.filter(fits).map((letter) => letter.id);
        const page = await kit.listable.listDeadLetters(filter, { limit: 10 });
        assert.deepEqual(page.deadLetters.map((letter) => letter.id).sort(), wanted.sort(), JSON.stringify(filter));
        if (page.accuracy === "exact") assert.equal(page.total, wanted.length);
      };
      const [first, second] = all as [DeadLetter, DeadLetter];
      await expect({}, () => true);
      await expect({ ids: [first.id, second.id] }, (letter) => letter === first || letter === second);
      await expect({ ids: [] }, () => false);
      await expect({ ids: ["00000000-0000-7000-8000-000000000000"] }, () => false);
      await expect({ type: "type.one" }, (letter) => letter.type === "type.one");
      await expect({ queue: b }, (letter) => letter.queue === b);
      await expect({ fingerprint: "a2".padEnd(16, "0") }, (letter) => letter.queue === a && letter.type === "type.two");
      await expect({ type: "type.two", queue: b }, (letter) => letter.queue === b && letter.type === "type.two");
      await expect({ type: "type.one", ids: [first.id] }, (letter) => letter === first && letter.type === "type.one");
      await expect({ queues: [b] }, (letter) => letter.queue === b);
      await expect({ queues: [a, b] }, () => true);
      await expect({ queues: ["*"] }, () => true);
      await expect({ queues: [`${b.slice(0, -1)}.*`, "none"] }, () => false);
      await expect({ queues: [a], queue: b }, () => false);
      await expect({ queues: [b, "none.*"], type: "type.one" }, (letter) => letter.queue === b && letter.type === "type.one");
      await expect({ type: "type.none" }, () => false);
      await expect({ queue: a, fingerprint: "b2".padEnd(16, "0") }, () => false);
    },
    { queues: 2 },
  );

  claim("lists the newest first and filters by time: since is included, until is not", async (kit) => {
    const order: string[] = [];
    for (let n = 0; n < 5; n++) {
      order.unshift(...(await manyDeadLetters(kit, 1)));
      await kit.tick();
    }
    const all = await list(kit);
    assert.deepEqual(
      all.map((letter) => letter.id),
      order,
    );
    const middle = all[2] as DeadLetter;
    const listed = async (filter: DeadLetterFilter) => (await list(kit, filter)).map((letter) => letter.id);
    assert.deepEqual(await listed({ since: middle.failedAt }), order.slice(0, 3));
    assert.deepEqual(await listed({ until: middle.failedAt }), order.slice(3));
    assert.deepEqual(await listed({ since: (all[3] as DeadLetter).failedAt, until: (all[1] as DeadLetter).failedAt }), order.slice(2, 4));
    const { removed } = await kit.listable.removeDeadLetters({ until: middle.failedAt }, 100);
    assert.deepEqual([...removed].sort(), order.slice(3).sort(), "redrive and remove filter alike");
  });
}

function pagingTests(claim: Claim): void {
  claim("pages by cursor without gaps or repeats, also when all failed at the same moment", async (kit) => {
    const all = await manyDeadLetters(kit, 25);
    const seen: string[] = [];
    const sizes: number[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<ContractKit["listable"]["listDeadLetters"]>> = await kit.listable.listDeadLetters(
        { queue: kit.queue },
        { limit: 10, ...(cursor === null ? {} : { cursor }) },
      );
      if (page.accuracy === "exact") assert.equal(page.total, 25);
      sizes.push(page.deadLetters.length);
      seen.push(...page.deadLetters.map((letter) => letter.id));
      cursor = page.nextCursor;
    } while (cursor !== null && sizes.length < 10);
    assert.deepEqual(sizes, [10, 10, 5]);
    assert.deepEqual(seen.sort(), all.sort());
  });

  claim("pages by offset without gaps or repeats", async (kit) => {
    const all = await manyDeadLetters(kit, 12);
    const seen: string[] = [];
    for (const offset of [0, 5, 10, 15]) {
      const page = await kit.listable.listDeadLetters({}, { limit: 5, offset });
      seen.push(...page.deadLetters.map((letter) => letter.id));
    }
    assert.deepEqual(seen.sort(), all.sort());
  });

  claim("keeps its place when what was listed is removed and new dead letters come", async (kit) => {
    const all = await manyDeadLetters(kit, 6);
    const first = await kit.listable.listDeadLetters({}, { limit: 3 });
    const listed = first.deadLetters.map((letter) => letter.id);
    await kit.listable.removeDeadLetters({ ids: listed.slice(0, 2) }, 10);
    await kit.tick();
    await manyDeadLetters(kit, 2);
    assert.ok(first.nextCursor !== null);
    const second = await kit.listable.listDeadLetters({}, { limit: 10, cursor: first.nextCursor });
    assert.deepEqual(second.deadLetters.map((letter) => letter.id).sort(), all.filter((id) => !listed.includes(id)).sort());
    assert.equal(second.nextCursor, null);
  });

  claim("ends the pages when the last one is just full", async (kit) => {
    await manyDeadLetters(kit, 4);
    const first = await kit.listable.listDeadLetters({}, { limit: 4 });
    assert.equal(first.deadLetters.length, 4);
    if (first.nextCursor === null) return;
    const second = await kit.listable.listDeadLetters({}, { limit: 4, cursor: first.nextCursor });
    assert.deepEqual([second.deadLetters, second.nextCursor], [[], null]);
  });
}

function redriveTests(claim: Claim): void {
  claim("redrives with the same id, queue and priority, counters at zero and the history kept", async (kit) => {
    const before = await spent(kit);
    const { id } = before.receipt;
    const result = await kit.listable.redriveDeadLetters({ ids: [id] }, 10);
    assert.deepEqual(result, { redriven: [id], conflicts: [] });
    assert.deepEqual(await list(kit), [], "it is a dead letter no more");
    const again = await kit.one();
    assert.deepEqual([again.receipt.id, again.queue, again.priority], [id, kit.queue, 8]);
    const envelope = envelopeOf(again);
    assert.deepEqual(envelope.last(messageId), { id });
    assert.deepEqual(envelope.message, envelopeOf(before).message);
    assert.deepEqual(envelope.last(redelivery)?.tries, { failures: 0, crashes: 0, interruptions: 0 });
    assert.deepEqual(envelope.last(redelivery)?.history, HISTORY);
    await kit.acknowledge(again);
    await kit.assertGone(again.receipt);
  });

  claim("refuses receipts from before the dead-lettering after a redrive", async (kit) => {
    const stale = (await spent(kit)).receipt;
    await kit.listable.redriveDeadLetters({ ids: [stale.id] }, 10);
    assertStatuses(await kit.transport.acknowledge([stale]), [stale], "lease_lost");
    const current = await kit.one();
    assert.equal(current.receipt.id, stale.id);
    assert.ok(current.receipt.fence > stale.fence, "the fence goes on where it was: a redrive must not start it anew");
    assertStatuses(await kit.transport.acknowledge([stale]), [stale], "lease_lost");
    assertStatuses(await kit.transport.reject([{ receipt: stale, deadLetter: failure() }]), [stale], "lease_lost");
    await kit.assertStillLeased(current);
  });

  claim("dead-letters and redrives the same message again and again", async (kit) => {
    const [id] = await kit.send(kit.envelope({ n: 1 }));
    let fence = Number.NEGATIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      const received = await kit.one();
      assert.equal(received.receipt.id, id);
      assert.ok(received.receipt.fence > fence);
      fence = received.receipt.fence;
      await kit.deadLetter(received, { fingerprint: String(round).padEnd(16, "0") });
      assert.equal((await list(kit)).length, 1);
      assert.deepEqual((await kit.listable.redriveDeadLetters({ fingerprint: String(round).padEnd(16, "0") }, 10)).redriven, [id]);
    }
    await kit.acknowledge(await kit.one());
    assert.deepEqual(await list(kit), []);
  });

  claim("redrives no more than the limit, and each dead letter once when many redrive at once", async (kit) => {
    const all = await manyDeadLetters(kit, 20);
    assert.equal((await kit.listable.redriveDeadLetters({}, 5)).redriven.length, 5);
    const rounds = await Promise.all(Array.from({ length: 6 }, () => kit.listable.redriveDeadLetters({ queue: kit.queue }, 100)));
    const redriven = rounds.flatMap((round) => round.redriven);
    assert.equal(redriven.length, 15, "each is redriven once");
    assert.deepEqual(ids(await kit.drain(20)).sort(), all.sort());
    assert.deepEqual(await list(kit), []);
  });

  claim("loses nothing when an idempotency key is taken again before the redrive", async (kit) => {
    const { receipt } = await spent(kit, "taken");
    const second = (await kit.transport.send([kit.envelope({ redrive: "me" }, idempotencyKey({ key: "taken" }))]))[0];
    const { redriven, conflicts } = await kit.listable.redriveDeadLetters({ ids: [receipt.id] }, 10);
    assert.deepEqual([...redriven, ...conflicts], [receipt.id], "it is redriven, or it is told that it was not");
    const left = (await list(kit)).map((letter) => letter.id);
    assert.deepEqual(left, conflicts, "a conflict stays a dead letter");
    await kit.drain((second?.kind === "accepted" ? 1 : 0) + redriven.length);
  });
}
