import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ConfigError,
  DecodeError,
  ERROR_CODES,
  HandlerTimeoutError,
  LeaseLostError,
  MessengerError,
  OptionsError,
  RecoverableError,
  TransportError,
  UnrecoverableError,
  ValidationError,
} from "./errors.ts";

const cause = new Error("below");

describe("an error of this library", () => {
  const all: readonly [MessengerError, string, string][] = [
    [new MessengerError("MESSENGER_CLOSED", "closed"), "MessengerError", "MESSENGER_CLOSED"],
    [new OptionsError("a.b", 5, "must be less"), "OptionsError", "OPTIONS_INVALID"],
    [new ConfigError("no route", { type: "t" }, cause), "ConfigError", "CONFIG_INVALID"],
    [new ValidationError("t", [{ path: "a", message: "is wrong" }]), "ValidationError", "PAYLOAD_INVALID"],
    [new TransportError("TRANSPORT_UNAVAILABLE", "gone", { cause }), "TransportError", "TRANSPORT_UNAVAILABLE"],
    [new DecodeError("RECORD_TOO_NEW", "v 2"), "DecodeError", "RECORD_TOO_NEW"],
    [new UnrecoverableError("no", { cause }), "UnrecoverableError", "UNRECOVERABLE"],
    [new RecoverableError("later", { retryDelayMs: 5 }), "RecoverableError", "RECOVERABLE"],
    [new LeaseLostError("id", cause), "LeaseLostError", "LEASE_LOST"],
    [new HandlerTimeoutError(50), "HandlerTimeoutError", "HANDLER_TIMED_OUT"],
  ];

  for (const [error, name, code] of all) {
    test(`is a MessengerError with a name, a stable code and plain details: ${name}`, () => {
      assert.ok(error instanceof MessengerError && error instanceof Error);
      assert.deepEqual([error.name, error.code], [name, code]);
      assert.ok(error.code in ERROR_CODES);
      assert.ok(error.message.length > 0);
      assert.deepEqual(JSON.parse(JSON.stringify(error.details)), error.details, "details can be logged");
    });
  }

  test("keeps its cause, and has none when there is none", () => {
    assert.equal(new TransportError("TRANSPORT_FAILED", "x", { cause }).cause, cause);
    assert.equal("cause" in new TransportError("TRANSPORT_FAILED", "x"), false);
  });

  test("names every issue of a payload", () => {
    const issues = [
      { path: "", message: "is no object" },
      { path: "a[0].b", message: "is missing" },
    ];
    const error = new ValidationError("t", issues);
    assert.equal(error.message, 'payload of "t" is invalid: payload: is no object; a[0].b: is missing');
    assert.deepEqual([error.issues, error.details.issues], [issues, issues]);
  });

  test("cuts what it quotes, and does not quote objects", () => {
    assert.ok(new OptionsError("a", "x".repeat(10_000), "must be short").message.length < 200);
    assert.match(new OptionsError("a", { password: "secret" }, "must be a string").message, /got an object$/);
  });
});

describe("what a handler throws", () => {
  test("says that the failure is final, or that it is not", () => {
    assert.equal(new UnrecoverableError().unrecoverable, true);
    assert.equal(new RecoverableError().recoverable, true);
  });

  test("names the delay in either way of writing it", () => {
    assert.equal(new RecoverableError({ retryDelayMs: 1234 }).retryDelayMs, 1234);
    const error = new RecoverableError("busy", { retryDelayMs: 5, cause });
    assert.deepEqual([error.message, error.retryDelayMs, error.cause], ["busy", 5, cause]);
    assert.equal(new RecoverableError().retryDelayMs, undefined);
  });
});

test("every error code says what it means, in words that are its own", () => {
  const meanings = Object.values(ERROR_CODES);
  assert.equal(new Set(meanings).size, meanings.length);
  for (const code of Object.keys(ERROR_CODES)) assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
});
