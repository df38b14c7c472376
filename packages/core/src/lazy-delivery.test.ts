import assert from "node:assert/strict";
import { test } from "node:test";
import { Envelope } from "./envelope.ts";
import { DecodeError } from "./errors.ts";
import { LazyDelivery } from "./lazy-delivery.ts";
import { createJsonSerializer, type Serializer } from "./serializer.ts";

const json = createJsonSerializer();
const receipt = { id: "a", queue: "q", fence: 1 };

function counting(decode: Serializer["decode"]): { serializer: Serializer; calls: () => number } {
  let calls = 0;
  return {
    serializer: {
      encode: json.encode,
      decode: (body) => {
        calls += 1;
        return decode(body);
      },
    },
    calls: () => calls,
  };
}

test("reads its record when the envelope is asked for, once", () => {
  const envelope = Envelope.wrap({ type: "t", payload: 1 });
  const { serializer, calls } = counting(() => envelope);
  const delivery = new LazyDelivery(receipt, 5, "record", serializer);
  assert.equal(delivery.queue, "q");
  assert.equal(calls(), 0);
  assert.equal(delivery.envelope, envelope);
  assert.equal(delivery.envelope, envelope);
  assert.equal(delivery.decodeError, undefined);
  assert.equal(calls(), 1);
});

test("tells why it cannot be read, once, whatever the serializer throws, and then has no envelope", () => {
  const own = new DecodeError("RECORD_TOO_NEW", "newer");
  for (const [thrown, code] of [
    [own, "RECORD_TOO_NEW"],
    [new TypeError("odd"), "RECORD_UNDECODABLE"],
  ] as const) {
    const { serializer, calls } = counting(() => {
      throw thrown;
    });
    const delivery = new LazyDelivery(receipt, 5, "record", serializer);
    assert.equal(delivery.envelope, undefined);
    assert.equal(delivery.decodeError?.code, code);
    assert.equal(delivery.decodeError?.cause, thrown === own ? undefined : thrown);
    assert.equal(calls(), 1);
  }
});
