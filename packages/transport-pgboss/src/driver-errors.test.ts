import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaseLostError } from "@symphony/core";
import { isRowFault, isTransient, toTransportError } from "./driver-errors.ts";

const withCode = (code: string, message = "it broke"): Error => Object.assign(new Error(message), { code });

for (const code of ["ECONNREFUSED", "ECONNRESET", "57P01", "08006", "53300", "57014", "25006"]) {
  test(`calls ${code} unavailable, which is worth another try`, () => {
    const cause = withCode(code);
    const error = toTransportError(cause, "testing");
    assert.equal(error.code, "TRANSPORT_UNAVAILABLE");
    assert.equal(error.cause, cause);
  });
}

for (const text of ["Connection terminated unexpectedly", "timeout exceeded when trying to connect", "Query read timeout"]) {
  test(`knows "${text}" of the driver, which has no code`, () => {
    assert.equal(toTransportError(new Error(text), "testing").code, "TRANSPORT_UNAVAILABLE");
  });
}

test("sends who lacks a table or a schema to set-up", () => {
  for (const code of ["42P01", "3F000"]) {
    const error = toTransportError(withCode(code), "testing");
    assert.equal(error.code, "SCHEMA_VERSION_MISMATCH");
    assert.match(error.message, /symphony setup/);
  }
});

test("calls everything else failed, whatever was thrown", () => {
  assert.equal(toTransportError(withCode("42601"), "testing").code, "TRANSPORT_FAILED");
  assert.equal(toTransportError(null, "testing").code, "TRANSPORT_FAILED");
});

test("passes errors of the library on as they are", () => {
  const error = new LeaseLostError("x");
  assert.equal(toTransportError(error, "testing"), error);
});

test("tells a fault of a row from one of the statement, and both from bad luck", () => {
  assert.ok(isRowFault(withCode("22P05")) && isRowFault(withCode("54000")) && !isRowFault(withCode("42601")));
  assert.ok(isTransient(withCode("40P01")) && isTransient(withCode("40001")) && !isTransient(withCode("23505")));
});
