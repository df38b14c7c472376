import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { defineStamp, Envelope, isSendable } from "./envelope.ts";

const label = defineStamp<string>("envelope.test.label", { sendable: true });
const mark = defineStamp<number>("envelope.test.mark", { sendable: false });
const message = Object.freeze({ type: "t", payload: Object.freeze({ n: 1 }) });

const anyStamp = fc.oneof(fc.string().map(label), fc.integer().map(mark));
const anyStamps = fc.array(anyStamp, { maxLength: 12 });

describe("an envelope", () => {
  test("keeps its stamps in the order in which they came", () => {
    fc.assert(
      fc.property(fc.array(anyStamps, { maxLength: 5 }), (groups) => {
        const envelope = groups.reduce((each, stamps) => each.with(...stamps), Envelope.wrap(message));
        const all = groups.flat();
        assert.deepEqual(envelope.stamps, all);
        for (const type of [label, mark]) {
          const values = all.filter((stamp) => stamp.name === type.stampName).map((stamp) => stamp.value);
          assert.deepEqual(envelope.all<unknown>(type as never), values);
          assert.deepEqual(envelope.last<unknown>(type as never), values.at(-1));
          assert.deepEqual(
            envelope.without(type).stamps,
            all.filter((stamp) => stamp.name !== type.stampName),
          );
        }
      }),
    );
  });

  test("shows its stamps when it is logged or looked at, also those that are made when somebody asks", () => {
    const source = { last: () => undefined, all: () => [label("first")] };
    const envelope = Envelope.decoded(message, source).with(mark(2));
    const shown = { message, stamps: [label("first"), mark(2)] };
    assert.deepEqual(JSON.parse(JSON.stringify({ envelope })), { envelope: shown });
    assert.equal(inspect(envelope, { depth: 5 }), inspect(shown, { depth: 5 }));
  });

  test("never changes: every method returns another one", () => {
    fc.assert(
      fc.property(anyStamps, anyStamps, (before, more) => {
        const given = Object.freeze([...before]);
        const envelope = Envelope.wrap(message, given);
        const copy = JSON.stringify(envelope);
        envelope.with(...more);
        envelope.without(label);
        envelope.withPayload({ n: 2 });
        envelope.withMessage({ type: "other", payload: 1 });
        Envelope.wrap(envelope, more);
        assert.equal(JSON.stringify(envelope), copy);
        assert.equal(envelope.message, message);
      }),
    );
  });

  test("is not wrapped again: it gets the stamps", () => {
    const envelope = Envelope.wrap(message, [label("a")]);
    assert.equal(Envelope.wrap(envelope), envelope);
    const more = Envelope.wrap(envelope, [label("b")]);
    assert.deepEqual([more.message, more.all(label)], [message, ["a", "b"]]);
  });

  test("takes another payload or message under the same stamps", () => {
    const envelope = Envelope.wrap(message, [mark(1)]);
    assert.deepEqual(envelope.withPayload("p").message, { type: "t", payload: "p" });
    assert.deepEqual(envelope.withMessage({ type: "u", payload: 2 }).message, { type: "u", payload: 2 });
    assert.equal(envelope.withPayload("p").stamps, envelope.stamps);
  });
});

test("a stamp type says whether its stamps travel; stamps that nobody declared do", () => {
  assert.deepEqual([isSendable(label.stampName), isSendable(mark.stampName), isSendable("nobody.declared.this")], [true, false, true]);
  assert.deepEqual(label("x"), { name: "envelope.test.label", value: "x" });
});
