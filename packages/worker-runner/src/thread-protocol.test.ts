import assert from "node:assert/strict";
import { test } from "node:test";
import { type PackedMessage, Packer, unpack } from "./thread-protocol.ts";

const message = (slot: number, more: { claim?: number; queue?: string; priority?: number; trace?: string } = {}): PackedMessage => {
  const { claim, queue = "mails", priority = 5, trace = "" } = more;
  const receipt = { id: `id-${slot}`, fence: slot * 2, queue, ...(claim === undefined ? {} : { claim }) };
  return { slot, ticket: slot + 100, group: 1, received: { receipt, queue, priority, body: `{"n": ${slot}}` }, trace };
};

const sent = (...messages: readonly PackedMessage[]): PackedMessage[] => {
  const packer = new Packer();
  for (const each of messages) packer.add(each);
  return unpack(structuredClone(packer.take()));
};

test("messages come out of a post as they went into it", () => {
  const messages = [
    message(3, { claim: 2 ** 40 }),
    message(0, { queue: "invoices", priority: -7 }),
    message(1, { queue: "mails", claim: 0 }),
    message(2 ** 31 - 1),
  ];
  assert.deepEqual(sent(...messages), messages);
  assert.deepEqual(sent(), []);
});

test("one trace among messages without any stays with its own", () => {
  const messages = [message(0), message(1, { trace: "00-trace" }), message(2)];
  assert.deepEqual(sent(...messages), messages);
});

test("a packer begins anew after each post", () => {
  const packer = new Packer();
  packer.add(message(1, { trace: "00-trace", queue: "invoices" }));
  assert.equal(packer.isEmpty, false);
  packer.take();
  assert.equal(packer.isEmpty, true);
  packer.add(message(2));
  const packed = packer.take();
  assert.deepEqual([packed.queues, packed.traced, unpack(packed)], [["mails"], false, [message(2)]]);
});
