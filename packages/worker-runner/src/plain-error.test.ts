import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MessengerError, TransportError } from "@symphony/core";
import { fromPlainError, toPlainError } from "./plain-error.ts";

describe("errors between threads", () => {
  test("code, text, details and class survive the way there and back", () => {
    const cause = new Error("socket closed");
    const unavailable = new TransportError("TRANSPORT_UNAVAILABLE", "cannot reach it", { cause, details: { host: "db" } });
    const back = fromPlainError(structuredClone(toPlainError(unavailable)));
    assert.ok(back instanceof TransportError);
    assert.equal(back.code, "TRANSPORT_UNAVAILABLE");
    assert.equal(back.message, "cannot reach it (cause: socket closed)");
    assert.deepEqual(back.details, { host: "db" });
    assert.equal(fromPlainError(toPlainError(new MessengerError("IDEMPOTENCY_CONFLICT", "taken"))).code, "IDEMPOTENCY_CONFLICT");
  });

  test("anything else becomes TRANSPORT_FAILED, and details that are not plain are left out", () => {
    assert.equal(toPlainError("odd").code, "TRANSPORT_FAILED");
    assert.equal(fromPlainError({ code: "NO_SUCH_CODE", message: "x", details: {} }).code, "TRANSPORT_FAILED");
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    assert.deepEqual(toPlainError(new MessengerError("OPTIONS_INVALID", "x", { details: circular })).details, {});
  });
});
