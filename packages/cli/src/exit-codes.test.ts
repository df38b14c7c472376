import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, ERROR_CODES, type ErrorCode, MessengerError, OptionsError, TransportError } from "@symphony/core";
import { CommandFailed, EXIT, exitCodeOf, UsageError } from "./exit-codes.ts";

test("tells bad usage, bad configuration, an unreachable database and a wrong schema apart", () => {
  assert.equal(exitCodeOf(new UsageError("no")), 2);
  assert.equal(exitCodeOf(new OptionsError("a", 1, "must be 2")), 64);
  assert.equal(exitCodeOf(new ConfigError("no")), 64);
  assert.equal(exitCodeOf(new TransportError("TRANSPORT_UNAVAILABLE", "gone")), 75);
  assert.equal(exitCodeOf(new TransportError("SCHEMA_VERSION_MISMATCH", "old")), 78);
  assert.equal(exitCodeOf(new CommandFailed("some failed")), 1);
});

test("what nobody has thought of is internal, whatever was thrown", () => {
  for (const thrown of [new Error("x"), new TypeError("x"), "text", null, undefined, { code: 5 }, { code: "ELSE" }]) {
    assert.equal(exitCodeOf(thrown), EXIT.internal);
  }
});

test("knows an error of another copy of the library by its code", () => {
  assert.equal(exitCodeOf({ code: "CONFIG_INVALID", message: "x" }), 64);
});

test("answers every error code with one of the promised exit codes", () => {
  const promised = new Set<number>(Object.values(EXIT));
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) assert.ok(promised.has(exitCodeOf(new MessengerError(code, "x"))), code);
});
