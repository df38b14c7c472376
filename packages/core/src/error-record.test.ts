import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { toErrorRecord } from "./error-record.ts";
import { UnrecoverableError } from "./errors.ts";

const MAX_BYTES = 16 * 1024;

function assertStorable(thrown: unknown): ReturnType<typeof toErrorRecord> {
  const record = toErrorRecord(thrown);
  const json = JSON.stringify(record);
  assert.ok(Buffer.byteLength(json) <= MAX_BYTES, `${Buffer.byteLength(json)} bytes as JSON`);
  assert.deepEqual(JSON.parse(json), record, "plain data");
  for (const text of Object.values(record)) assert.ok(text.isWellFormed() && !text.includes("\0"), "PostgreSQL's jsonb can store it");
  assert.ok(record.name.length > 0);
  return record;
}

const throwing = (key: string): object =>
  Object.defineProperty(new Error("fine"), key, {
    get() {
      throw new Error(`${key} must not be read`);
    },
  });

const everythingThrows = new Proxy(
  {},
  new Proxy(
    {},
    {
      get() {
        throw new Error("no trap for you");
      },
    },
  ),
);

function circularCause(): Error {
  const first = new Error("first");
  const second = new Error("second", { cause: first });
  first.cause = second;
  return first;
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

const circular: Record<string, unknown> = { detail: 1 };
circular.self = circular;

// F26 in the list of faults: whatever is thrown must not replace the decision.
const ODD_THROWS: Readonly<Record<string, unknown>> = {
  null: null,
  undefined: undefined,
  "an empty string": "",
  "a string": "just text",
  "a number": 42,
  NaN: Number.NaN,
  "a bigint": 10n,
  "a symbol": Symbol("s"),
  "a function": () => 1,
  "an array": [1, 2],
  "a plain object": { code: "E", status: 500 },
  "a circular object": circular,
  "an object without prototype": Object.assign(Object.create(null), { a: 1 }),
  "a frozen error": Object.freeze(new Error("frozen")),
  "an error of another realm": runInNewContext('new TypeError("foreign")'),
  "an error with a message of 10 MB": new Error("m".repeat(10_000_000)),
  "an error with a wide message": new Error("€".repeat(100_000)),
  "an error whose message JSON has to escape": new Error('\u0001"\\'.repeat(100_000)),
  "an error of emoji": Object.assign(new Error("👍".repeat(50_000)), { stack: "👍".repeat(50_000), name: "👍".repeat(9999) }),
  "an error with NUL and lone surrogates": new Error("a\0b\uD800c\uDC00"),
  "an error with a long name and code": Object.assign(new Error("x"), { name: "\u0002".repeat(99_999), code: "\u0003".repeat(99_999) }),
  "an error with a huge stack": Object.assign(new Error("x"), { stack: "\n    at f".repeat(1_000_000) }),
  "an error whose message is an object": Object.assign(new Error(), { message: { deep: true } }),
  "an error whose name is null": Object.assign(new Error("x"), { name: null }),
  "an error whose name is empty": Object.assign(new Error("x"), { name: "" }),
  "an error with a circular cause": circularCause(),
  "an error with a huge cause": new Error("outer", { cause: new Error("c".repeat(10_000_000)) }),
  "an error with a cause that is no error": new Error("outer", { cause: { message: 1 } }),
  "an error with a hundred thousand causes": Array.from({ length: 100_000 }).reduce<Error>(
    (cause) => new Error("x", { cause }),
    new Error("root"),
  ),
  "an error whose message throws": throwing("message"),
  "an error whose name throws": throwing("name"),
  "an error whose stack throws": throwing("stack"),
  "an error whose code throws": throwing("code"),
  "an error whose cause throws": throwing("cause"),
  "an object whose toString throws": Object.assign(Object.create(null), { message: { toString: () => assert.fail() } }),
  "a proxy that throws at everything": everythingThrows,
  "a revoked proxy": revoked(),
};

describe("an error record", () => {
  for (const [what, thrown] of Object.entries(ODD_THROWS)) {
    test(`is made of ${what}, in at most 16 KiB`, () => {
      assertStorable(thrown);
    });
  }

  test("is made of anything", () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }), (thrown) => void assertStorable(thrown)),
    );
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void assertStorable(new Error(text))));
  });

  test("keeps name, message, stack and code as they are when they are short", () => {
    const error = Object.assign(new RangeError('too "long" – ü 👍\nsecond line'), { code: "E_RANGE" });
    assert.deepEqual(toErrorRecord(error), { name: "RangeError", message: error.message, stack: error.stack, code: "E_RANGE" });
    assert.deepEqual(toErrorRecord("text"), { name: "Error", message: "text" });
    assert.equal(toErrorRecord(Object.assign(new Error("x"), { code: 23505 })).code, "23505");
    assert.equal(toErrorRecord(new UnrecoverableError("no")).code, "UNRECOVERABLE");
    assert.equal(toErrorRecord({ status: 500 }).message, '{"status":500}');
  });

  test("says how long a message was that it cut", () => {
    const { message } = toErrorRecord(new Error("x".repeat(123_456)));
    assert.match(message, /^x{1000,}… \(123456 characters\)$/);
  });

  test("replaces what PostgreSQL's jsonb refuses", () => {
    assert.equal(toErrorRecord("a\0b\uD800c").message, "a\uFFFDb\uFFFDc");
  });

  test("tells causes, five of them at most", () => {
    const chain = ["e", "d", "c", "b"].reduce<Error>((cause, name) => new Error(name, { cause }), new Error("root"));
    assert.equal(toErrorRecord(new Error("top", { cause: chain })).message, "top (cause: b) (cause: c) (cause: d) (cause: e)");
    assert.equal(toErrorRecord(new Error("top", { cause: "text" })).message, "top (cause: text)");
    assert.equal(toErrorRecord(circularCause()).message, "first (cause: second)");
  });
});
