import assert from "node:assert/strict";
import { deduplicate, queueName } from "../../stamps.ts";
import { isListable, type SendResult } from "../../transport.ts";
import { type Claim, type ContractKit, unique } from "./kit.ts";

async function sendOne(kit: ContractKit, key: string, n = 1, queue = kit.queue): Promise<SendResult> {
  const [result] = await kit.transport.send([kit.envelope({ n }, deduplicate({ key }), queueName({ queue }))]);
  assert.ok(result !== undefined);
  return result;
}

async function accepted(kit: ContractKit, key: string, n = 1): Promise<string> {
  const result = await sendOne(kit, key, n);
  assert.equal(result.kind, "accepted", result.kind === "refused" ? result.error.message : undefined);
  return result.kind === "accepted" ? result.id : "";
}

export function deduplicationTests(claim: Claim): void {
  claim("answers with the message that is not finished, whatever the payload, until it is handled", async (kit) => {
    const key = unique("key");
    const id = await accepted(kit, key, 1);
    const duplicate = { kind: "duplicate", id, queue: kit.queue };
    assert.deepEqual(await sendOne(kit, key, 2), duplicate, "waiting");
    const first = await kit.one();
    assert.deepEqual(await sendOne(kit, key, 3), duplicate, "in flight");
    await kit.transport.reject([{ receipt: first.receipt, retryInMs: 0 }]);
    assert.deepEqual(await sendOne(kit, key, 4), duplicate, "to be retried");
    await kit.acknowledge(await kit.one());
    assert.notEqual(await accepted(kit, key, 5), id, "handled: the key is free, and the next message is another one");
    const [next] = await kit.drain(1);
    assert.deepEqual(next?.envelope?.message.payload, { n: 5 });
  });

  claim("frees the key when the message becomes a dead letter, and a redrive brings it back beside a new one", async (kit) => {
    const key = unique("key");
    const id = await accepted(kit, key, 1);
    await kit.deadLetter(await kit.one());
    await accepted(kit, key, 2);
    if (isListable(kit.transport)) assert.deepEqual((await kit.transport.redriveDeadLetters({ ids: [id] }, 1)).redriven, [id]);
    await kit.drain(isListable(kit.transport) ? 2 : 1);
  });

  claim("finds a duplicate inside one call, and leaves messages without a key alone", async (kit) => {
    const key = unique("key");
    const keyed = (n: number) => kit.envelope({ n }, deduplicate({ key }));
    const results = await kit.transport.send([kit.envelope({ n: 0 }), keyed(1), keyed(2), kit.envelope({ n: 3 })]);
    assert.deepEqual(
      results.map((result) => result.kind),
      ["accepted", "accepted", "duplicate", "accepted"],
    );
    assert.deepEqual((results[2] as { id: string }).id, (results[1] as { id: string }).id);
    await kit.drain(3);
  });

  claim("makes one message of fifty concurrent sends with one key, and all get its id", async (kit) => {
    const key = unique("key");
    const transports = [kit.transport, await kit.other()] as const;
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const transport = transports[n % 2] ?? kit.transport;
        return (await transport.send([kit.envelope({ n }, deduplicate({ key }))]))[0];
      }),
    );
    assert.equal(results.filter((result) => result?.kind === "accepted").length, 1, "exactly one is accepted");
    assert.equal(new Set(results.map((result) => (result?.kind === "refused" ? result.error.code : result?.id))).size, 1);
    await kit.drain(1);
  });

  claim(
    "keeps the keys of two queues apart",
    async (kit) => {
      const key = unique("key");
      for (const queue of kit.queues) assert.equal((await sendOne(kit, key, 1, queue)).kind, "accepted");
      await kit.drain(2);
    },
    { queues: 2 },
  );
}
