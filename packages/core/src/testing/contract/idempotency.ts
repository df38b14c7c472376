import assert from "node:assert/strict";
import { headers, idempotencyKey, messageId, metadata, queueName } from "../../stamps.ts";
import type { SendResult } from "../../transport.ts";
import { testEnvelope } from "../envelopes.ts";
import { type Claim, type ContractKit, envelopeOf, unique } from "./kit.ts";

const idOf = (result: SendResult | undefined): string | undefined => (result?.kind === "refused" ? undefined : result?.id);

async function sendOne(kit: ContractKit, key: string, payload: unknown = { n: 1 }): Promise<SendResult | undefined> {
  return (await kit.transport.send([kit.envelope(payload, idempotencyKey({ key }))]))[0];
}

export function idempotencyTests(claim: Claim): void {
  claim("answers a known idempotency key with the first message's id and sends nothing", async (kit) => {
    const key = unique("key");
    const first = await sendOne(kit, key);
    assert.equal(first?.kind, "accepted");
    const second = await sendOne(kit, key);
    assert.deepEqual(second, { kind: "duplicate", id: idOf(first), queue: kit.queue });
    const [received] = await kit.drain(1);
    assert.ok(received !== undefined);
    assert.equal(received.receipt.id, idOf(first));
    assert.deepEqual(envelopeOf(received).last(messageId), { id: idOf(first) }, "store, answer and envelope agree on the id");
    assert.deepEqual(envelopeOf(received).last(idempotencyKey), { key });
  });

  claim("takes what travels beside the payload for the same message: trace headers, metadata, order of fields", async (kit) => {
    const key = unique("key");
    const first = await sendOne(kit, key, { a: 1, b: { c: [1, 2], d: null } });
    const again = kit.envelope(
      { b: { d: null, c: [1, 2] }, a: 1 },
      idempotencyKey({ key }),
      headers({ traceparent: "00-1-2-01" }),
      metadata({ m: 1 }),
    );
    assert.deepEqual(await kit.transport.send([again]), [{ kind: "duplicate", id: idOf(first), queue: kit.queue }]);
  });

  claim("finds a duplicate inside one call", async (kit) => {
    const key = unique("key");
    const keyed = () => kit.envelope({ n: 1 }, idempotencyKey({ key }));
    const results = await kit.transport.send([kit.envelope({ n: 0 }), keyed(), kit.envelope({ n: 2 }), keyed()]);
    assert.deepEqual(
      results.map((result) => result.kind),
      ["accepted", "accepted", "accepted", "duplicate"],
    );
    assert.equal(idOf(results[3]), idOf(results[1]));
    await kit.drain(3);
  });

  claim("makes one message of fifty concurrent sends with one key", async (kit) => {
    const key = unique("key");
    const transports = [kit.transport, await kit.other()] as const;
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const transport = transports[n % 2] ?? kit.transport;
        return (await transport.send([kit.envelope({ n: 1 }, idempotencyKey({ key }))]))[0];
      }),
    );
    assert.equal(results.filter((result) => result?.kind === "accepted").length, 1, "exactly one is accepted");
    assert.equal(results.filter((result) => result?.kind === "duplicate").length, 49);
    assert.equal(new Set(results.map(idOf)).size, 1, "all answers name the same id");
    await kit.drain(1);
  });

  claim("refuses a known idempotency key for another message", async (kit) => {
    const key = unique("key");
    const first = await sendOne(kit, key, { n: 1 });
    const otherType = testEnvelope("contract.other", { n: 1 }, [queueName({ queue: kit.queue }), idempotencyKey({ key })]);
    const results = await kit.transport.send([
      kit.envelope({ n: 2 }, idempotencyKey({ key })),
      kit.envelope({ n: 3 }),
      otherType,
      kit.envelope({ n: 1 }, idempotencyKey({ key })),
    ]);
    assert.deepEqual(
      results.map((result) => (result.kind === "refused" ? result.error.code : result.kind)),
      ["IDEMPOTENCY_CONFLICT", "accepted", "IDEMPOTENCY_CONFLICT", "duplicate"],
    );
    assert.equal(idOf(results[3]), idOf(first));
    const received = await kit.drain(2);
    assert.deepEqual(received.map((each) => (envelopeOf(each).message.payload as { n: number }).n).sort(), [1, 3]);
  });

  claim("still knows the key while the message is leased, retried, and after it was handled", async (kit) => {
    const key = unique("key");
    const duplicate = { kind: "duplicate", id: idOf(await sendOne(kit, key)), queue: kit.queue };
    const { receipt } = await kit.one();
    assert.deepEqual(await sendOne(kit, key), duplicate, "leased");
    await kit.transport.reject([{ receipt, retryInMs: 0, patch: { tries: { failures: 1, crashes: 0, interruptions: 0 } } }]);
    assert.deepEqual(await sendOne(kit, key), duplicate, "waiting for another attempt");
    const again = await kit.one();
    await kit.acknowledge(again);
    assert.deepEqual(await sendOne(kit, key), duplicate, "handled");
    const conflict = await sendOne(kit, key, { n: "another" });
    assert.equal(conflict?.kind === "refused" && conflict.error.code, "IDEMPOTENCY_CONFLICT");
    await kit.assertGone(again.receipt);
  });

  claim(
    "forgets the key of a dead letter that somebody removes: the message can be sent again",
    async (kit) => {
      const key = unique("key");
      const id = idOf(await sendOne(kit, key)) ?? "";
      await kit.deadLetter(await kit.one());
      assert.deepEqual(await sendOne(kit, key), { kind: "duplicate", id, queue: kit.queue }, "a dead letter can still be redriven");
      assert.deepEqual(await kit.listable.removeDeadLetters({ ids: [id] }, 1), { removed: [id] });
      assert.equal((await sendOne(kit, key))?.kind, "accepted");
      await kit.acknowledge(await kit.one());
      assert.equal((await kit.listable.listDeadLetters({}, { limit: 10 })).total, 0);
    },
    { needs: ["listable"] },
  );

  claim("knows the key after the acknowledgement came with a receive", async (kit) => {
    const key = unique("key");
    const duplicate = { kind: "duplicate", id: idOf(await sendOne(kit, key)), queue: kit.queue };
    const { receipt } = await kit.one();
    assert.deepEqual(await kit.receive(1, { acknowledge: [receipt] }), []);
    assert.deepEqual(await sendOne(kit, key), duplicate);
  });

  claim(
    "keeps the keys of two queues apart",
    async (kit) => {
      const key = unique("key");
      const results = await kit.transport.send(
        kit.queues.map((queue) => kit.envelope({ n: 1 }, queueName({ queue }), idempotencyKey({ key }))),
      );
      assert.deepEqual(
        results.map((result) => result.kind),
        ["accepted", "accepted"],
      );
      await kit.drain(2);
    },
    { queues: 2 },
  );

  claim("takes keys of any characters for what they are", async (kit) => {
    const keys = ["a", "A", " a", "a ", "ä", "a\u0308", "'; drop table x; --", "__proto__", "k".repeat(255), "👍"];
    const results = await kit.transport.send(keys.map((key) => kit.envelope({ n: 1 }, idempotencyKey({ key }))));
    assert.ok(results.every((result) => result.kind === "accepted"));
    assert.equal(new Set(results.map(idOf)).size, keys.length);
    const received = await kit.drain(keys.length);
    assert.deepEqual(received.map((each) => envelopeOf(each).last(idempotencyKey)?.key).sort(), [...keys].sort());
  });
}
