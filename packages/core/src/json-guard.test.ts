import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { MessengerError } from "./errors.ts";
import { assertStorableJson, DEFAULT_PAYLOAD_LIMITS } from "./json-guard.ts";

const check = (value: unknown, limits = DEFAULT_PAYLOAD_LIMITS): void => assertStorableJson(value, "payload", limits);

function refusal(value: unknown): { code: string; message: string; path: unknown } {
  try {
    check(value);
  } catch (error) {
    const { code, message, details } = error as MessengerError;
    return { code, message, path: details?.path };
  }
  return assert.fail("it was not refused");
}

class Money {
  readonly amount = 1;
}

const nested = (depth: number): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
};

const circular: Record<string, unknown> = {};
circular.self = circular;

const holes: unknown[] = [1];
holes[2] = 3;

const NOT_JSON: Readonly<Record<string, { value: unknown; path: string }>> = {
  "a NUL character": { value: { text: "a\0b" }, path: "payload.text" },
  "a NUL character in a key": { value: { "a\0b": 1 }, path: 'payload["a\\u0000b"]' },
  "a lone high surrogate": { value: ["\uD800"], path: "payload[0]" },
  "a lone low surrogate in a key": { value: { "\uDC00x": 1 }, path: 'payload["\\udc00x"]' },
  NaN: { value: { list: [1, Number.NaN] }, path: "payload.list[1]" },
  Infinity: { value: Number.POSITIVE_INFINITY, path: "payload" },
  "minus infinity": { value: [[Number.NEGATIVE_INFINITY]], path: "payload[0][0]" },
  "an integer beyond 2^53": { value: { id: 2 ** 53 }, path: "payload.id" },
  "a bigint": { value: { id: 1n }, path: "payload.id" },
  "a Date": { value: { at: new Date(0) }, path: "payload.at" },
  "a Map": { value: { map: new Map() }, path: "payload.map" },
  "a Set": { value: new Set([1]), path: "payload" },
  "a Buffer": { value: { bytes: Buffer.from("x") }, path: "payload.bytes" },
  "an Error": { value: { error: new Error("x") }, path: "payload.error" },
  "a class instance": { value: { price: new Money() }, path: "payload.price" },
  "a boxed string": { value: Object("x"), path: "payload" },
  "a function": { value: { run: () => 1 }, path: "payload.run" },
  "an own toJSON": { value: { toJSON: () => 1 }, path: "payload.toJSON" },
  "a symbol": { value: [Symbol("s")], path: "payload[0]" },
  "a hole in an array": { value: holes, path: "payload[1]" },
  "undefined in an array": { value: { list: [undefined] }, path: "payload.list[0]" },
};

describe("the JSON guard", () => {
  for (const [what, { value, path }] of Object.entries(NOT_JSON)) {
    test(`refuses ${what}, naming its place`, () => {
      const { code, message, path: at } = refusal(value);
      assert.deepEqual([code, at], ["PAYLOAD_NOT_JSON", path]);
      assert.ok(message.startsWith(path), message);
    });
  }

  test("lets everything pass that JSON carries, and nothing is lost on the way", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8, stringUnit: "binary" }), (value) => {
        try {
          check(value);
        } catch (error) {
          assert.ok(/NUL|surrogate|2\^53/.test((error as Error).message), (error as Error).message);
          return;
        }
        assert.deepEqual(JSON.parse(JSON.stringify(value)), replaceNegativeZero(value));
      }),
      { numRuns: 500 },
    );
  });

  test("judges anything at all without another error than its own", () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withMap: true, withSet: true, withDate: true, withTypedArray: true, withSparseArray: true }),
        (value) => {
          try {
            check(value);
          } catch (error) {
            assert.match((error as MessengerError).code, /^PAYLOAD_(NOT_JSON|TOO_DEEP|TOO_LARGE)$/);
            return;
          }
          // What passes is the same after a trip through JSON, but for fields that are undefined.
          const trip = JSON.stringify(value) as string | undefined;
          assert.equal(JSON.stringify(trip === undefined ? undefined : JSON.parse(trip)), trip);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("leaves undefined fields to JSON, which drops them", () => {
    check({ a: undefined, b: { c: undefined } });
    check(undefined);
  });

  test("takes objects without a prototype and names of Object's own properties for data", () => {
    check(Object.assign(Object.create(null), { a: 1 }));
    check(JSON.parse('{"__proto__":{"a":1},"constructor":"c","toString":2,"hasOwnProperty":null}'));
    const hidden = JSON.parse('{"__proto__":{"a":"x"}}') as Record<string, unknown>;
    Object.defineProperty(hidden, "__proto__", { value: [Number.NaN], enumerable: true });
    assert.equal(refusal(hidden).path, "payload.__proto__[0]");
  });

  test("allows 64 levels and refuses the next, however deep it goes on", () => {
    check(nested(64));
    for (const depth of [65, 100_000]) assert.equal(refusal(nested(depth)).code, "PAYLOAD_TOO_DEEP");
    const { code, message } = refusal(circular);
    assert.equal(code, "PAYLOAD_TOO_DEEP");
    assert.ok(message.length < 250, "the path is cut");
  });

  test("refuses a hundred thousand arrays in each other without overflowing the stack", () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`) as unknown;
    assert.equal(refusal(deep).code, "PAYLOAD_TOO_DEEP");
  });

  test("refuses what is certain to be too large before it is written out", () => {
    const { maxBytes } = DEFAULT_PAYLOAD_LIMITS;
    assert.equal(refusal("x".repeat(2_000_000)).code, "PAYLOAD_TOO_LARGE");
    assert.equal(refusal({ list: ["x".repeat(maxBytes / 2), "x".repeat(maxBytes / 2)] }).path, "payload.list[1]");
    assert.equal(refusal(new Array(maxBytes).fill(0)).code, "PAYLOAD_TOO_LARGE");
    assert.equal(refusal({ ["k".repeat(maxBytes)]: 1 }).code, "PAYLOAD_TOO_LARGE");
    // Sixty arrays, each twice in the next: 2^60 on the way out.
    let bomb: unknown = ["lol"];
    for (let i = 0; i < 60; i++) bomb = [bomb, bomb];
    assert.equal(refusal(bomb).code, "PAYLOAD_TOO_LARGE");
  });

  test("never refuses for its size what fits", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const bytes = Buffer.byteLength(JSON.stringify(value));
        try {
          check(value, { maxBytes: bytes, maxDepth: 64 });
        } catch (error) {
          assert.notEqual((error as MessengerError).code, "PAYLOAD_TOO_LARGE");
        }
      }),
      { numRuns: 500 },
    );
  });
});

function replaceNegativeZero(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(replaceNegativeZero);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaceNegativeZero(item)]));
}
