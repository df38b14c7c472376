import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { defineStamp, Envelope, type Stamp } from "./envelope.ts";
import type { DecodeError, MessengerError } from "./errors.ts";
import { createJsonSerializer, parseRecord } from "./serializer.ts";
import {
  busName,
  delay,
  dispatched,
  handled,
  headers,
  idempotencyKey,
  lineage,
  messageId,
  metadata,
  priority,
  received,
  redelivery,
  typeVersion,
} from "./stamps.ts";
import { testEnvelope } from "./testing/envelopes.ts";
import { WIRE_VERSION } from "./wire-record.ts";

const { encode, decode } = createJsonSerializer();
const own = defineStamp<unknown>("serializer.own", { sendable: true });
const local = defineStamp<unknown>("serializer.local", { sendable: false });

const RECORD = { v: 1, id: "i", type: "t", tv: 1, root: "i", depth: 0, at: 0, payload: null };

const plainly = { noNullPrototype: true };
const count = fc.integer({ min: 0, max: 2 ** 40 });
const text = fc.string({ unit: "grapheme", minLength: 1 });
// JSON has no -0, and what jsonb refuses is refused before.
const plain = fc.jsonValue({ maxDepth: 4, stringUnit: "grapheme" }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const storable = plain.filter((value) => !/\\u0000|e\+/.test(JSON.stringify(value)) && !hasUnsafeInteger(value));

function hasUnsafeInteger(value: unknown): boolean {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === "object" && value !== null && Object.values(value).some(hasUnsafeInteger);
}

const words = fc.dictionary(text, text, { noNullPrototype: true });
const history = fc.array(
  fc.record({ attempt: count, at: text, workerId: text, error: fc.record({ name: text, message: text }, plainly) }, plainly),
  {
    maxLength: 3,
  },
);
const tries = fc.record({ failures: count, crashes: count, interruptions: count }, plainly);

const optionalStamps: fc.Arbitrary<Stamp[]> = fc
  .tuple(
    fc.option(words.map(headers)),
    fc.option(fc.dictionary(text, storable, { noNullPrototype: true }).map(metadata)),
    fc.option(text.map((bus) => busName({ bus }))),
    fc.option(text.map((key) => idempotencyKey({ key }))),
    fc.option(fc.record({ tries, history, handled: fc.array(text, { maxLength: 3 }) }, plainly).map(redelivery)),
  )
  .map((stamps) => stamps.filter((stamp) => stamp !== null));

const anyEnvelope = fc
  .record({
    type: text,
    payload: storable,
    id: text,
    version: count,
    at: count,
    root: text,
    parent: text,
    depth: count,
    optionalStamps,
    owns: fc.array(storable, { maxLength: 3 }),
  })
  .map((o) =>
    Envelope.wrap({ type: o.type, payload: o.payload }, [
      messageId({ id: o.id }),
      typeVersion({ version: o.version }),
      dispatched({ at: o.at }),
      lineage({ root: o.root, parent: o.parent, depth: o.depth }),
      ...o.optionalStamps,
      ...o.owns.map(own),
    ]),
  );

describe("the JSON serializer", () => {
  test("reads back what it wrote: decode(encode(x)) equals x, stamps in order", () => {
    fc.assert(
      fc.property(anyEnvelope, (envelope) => {
        const copy = decode(encode(envelope));
        assert.deepEqual(copy.message, envelope.message);
        const order = (stamps: readonly Stamp[]) => stamps.map((stamp) => stamp.name).sort();
        assert.deepEqual(order(copy.stamps), order(envelope.stamps));
        for (const type of [messageId, typeVersion, dispatched, lineage, headers, metadata, busName, idempotencyKey, redelivery]) {
          assert.deepEqual(copy.last<unknown>(type as never), envelope.last<unknown>(type as never), type.stampName);
        }
        assert.deepEqual(copy.all(own), envelope.all(own));
        assert.equal(encode(copy), encode(envelope), "and writes the same again");
      }),
      { numRuns: 300 },
    );
  });

  test("writes a small record: what is absent takes no room", () => {
    const body = encode(testEnvelope("t", { a: 1 }, [messageId({ id: "i" }), dispatched({ at: 5 })]));
    assert.deepEqual(JSON.parse(body), { ...RECORD, at: 5, payload: { a: 1 } });
    assert.equal(RECORD.v, WIRE_VERSION);
  });

  test("leaves behind what does not travel, and takes along stamps that this version does not know", () => {
    const unknown: Stamp = { name: "from.a.newer.version", value: { x: 1 } };
    const origin = { transport: "t", queue: "q", receipt: { id: "i", queue: "q", fence: 1 } };
    const envelope = testEnvelope("t", 1, [local(1), delay({ delayMs: 1 }), priority({ priority: 1 }), received(origin), unknown]);
    const copy = decode(encode(envelope));
    assert.deepEqual(
      copy.stamps.filter((stamp) => stamp.name === unknown.name),
      [unknown],
    );
    for (const type of [local, delay, priority, received]) assert.equal(copy.last<unknown>(type as never), undefined);
  });

  test("remembers handlers that succeeded, now and before, each once", () => {
    const past = { tries: { failures: 1, crashes: 0, interruptions: 0 }, history: [], handled: ["a"] };
    const envelope = testEnvelope("t", 1, [redelivery(past), handled({ handler: "b", result: 1n }), handled({ handler: "a" })]);
    assert.deepEqual(decode(encode(envelope)).last(redelivery)?.handled, ["a", "b"]);
  });

  // F70 in the list of faults.
  test("keeps names of Object's own properties as data: in payload, headers, metadata and names of stamps", () => {
    const odd = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];
    const data = JSON.parse('{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}},"toString":"x"}') as Record<
      string,
      unknown
    >;
    const names = JSON.parse('{"__proto__":"h","constructor":"c","toString":"t"}') as Record<string, string>;
    const stamps = odd.flatMap((name): Stamp[] => [
      { name, value: { of: name, n: 1 } },
      { name, value: { of: name, n: 2 } },
    ]);
    const copy = decode(encode(testEnvelope("__proto__", data, [headers(names), metadata(data), ...stamps])));
    assert.deepEqual(JSON.stringify(copy.message.payload), JSON.stringify(data));
    assert.deepEqual(JSON.stringify(copy.last(headers)), JSON.stringify(names));
    assert.deepEqual(JSON.stringify(copy.last(metadata)), JSON.stringify(data));
    for (const name of odd) {
      const values = copy.stamps.filter((stamp) => stamp.name === name).map((stamp) => stamp.value);
      assert.deepEqual(
        values,
        [
          { of: name, n: 1 },
          { of: name, n: 2 },
        ],
        name,
      );
    }
    assert.equal(({} as { polluted?: string }).polluted, undefined, "Object.prototype is unchanged");
  });

  test("refuses what is over the limits, with place, size and limit", () => {
    const refusal = (envelope: Envelope): MessengerError => {
      try {
        encode(envelope);
      } catch (error) {
        return error as MessengerError;
      }
      return assert.fail("it was not refused");
    };
    const large = refusal(testEnvelope("t", "€".repeat(700_000)));
    assert.equal(large.code, "PAYLOAD_TOO_LARGE");
    assert.equal(large.details.maxBytes, 1_048_576);
    assert.ok((large.details.bytes as number) > 2_100_000);
    assert.equal(refusal(testEnvelope("t", "x".repeat(2_000_000))).code, "PAYLOAD_TOO_LARGE");
    assert.equal(refusal(testEnvelope("t", 1, [headers({ a: "\0" })])).details.path, "headers.a");
    assert.equal(refusal(testEnvelope("t", 1, [metadata({ at: new Date() })])).details.path, "metadata.at");
    assert.match(String(refusal(testEnvelope("t", 1, [own(1n)])).details.path), /^stamps/);
  });

  test("has a limit of its own when it is given one", () => {
    const small = createJsonSerializer({ maxBytes: 300, maxDepth: 2 });
    small.encode(testEnvelope("t", { a: [1] }));
    assert.throws(() => small.encode(testEnvelope("t", "x".repeat(300))), { code: "PAYLOAD_TOO_LARGE" });
    assert.throws(() => small.encode(testEnvelope("t", [[[1]]])), { code: "PAYLOAD_TOO_DEEP" });
  });
});

describe("a stored record", () => {
  const codeOf = (body: string): string => {
    try {
      decode(body);
    } catch (error) {
      return (error as DecodeError).code;
    }
    return "decoded";
  };

  test("is read when it has what every record has", () => {
    assert.equal(codeOf(JSON.stringify(RECORD)), "decoded");
    assert.equal(parseRecord(JSON.stringify({ ...RECORD, later: "a field of a newer minor version" })).id, "i");
  });

  test("is undecodable, never another error, when a field is missing or of another type", () => {
    for (const field of ["v", "id", "type", "tv", "root", "depth", "at", "payload"]) {
      const { [field]: _, ...rest } = RECORD as Record<string, unknown>;
      assert.equal(codeOf(JSON.stringify(rest)), "RECORD_UNDECODABLE", `without ${field}`);
    }
    const wrong: Record<string, unknown[]> = {
      v: ["1", null, 1.5],
      id: ["", 5, null],
      type: ["", {}],
      tv: [-1, 1.5, "1"],
      depth: [-1, null],
      headers: [[], { a: 1 }, "x", null],
      meta: [[], 1, null],
      tries: [[], 1, { failures: -1 }, { crashes: "1" }, null],
      history: [{}, "x", null],
      handled: [{}, [1], null],
      stamps: [[], { a: 1 }, null],
      parent: [1, null],
      bus: [1],
      key: [{}],
    };
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values)
        assert.equal(codeOf(JSON.stringify({ ...RECORD, [field]: value })), "RECORD_UNDECODABLE", `${field}: ${JSON.stringify(value)}`);
    }
  });

  test("is too new, not broken, when a later program wrote it", () => {
    for (const v of [2, 99]) assert.equal(codeOf(JSON.stringify({ v, anything: true })), "RECORD_TOO_NEW");
  });

  test("of any text whatever is decoded or refused with a DecodeError", () => {
    const anyRecord = fc.dictionary(
      fc.constantFrom(...Object.keys(RECORD), "headers", "meta", "tries", "history", "handled", "stamps", "key"),
      fc.jsonValue(),
    );
    const anyBody = fc.oneof(
      fc.string(),
      fc.json(),
      anyRecord.map((record) => JSON.stringify({ ...RECORD, ...record })),
    );
    fc.assert(
      fc.property(anyBody, (body) => {
        assert.match(codeOf(body), /^(decoded|RECORD_UNDECODABLE|RECORD_TOO_NEW)$/);
      }),
      { numRuns: 500 },
    );
  });

  test("with a hundred thousand nested arrays is refused or read without overflowing the stack", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    assert.match(codeOf(JSON.stringify(RECORD).replace("null", deep)), /^(decoded|RECORD_UNDECODABLE)$/);
    assert.equal(codeOf(deep), "RECORD_UNDECODABLE");
  });
});
