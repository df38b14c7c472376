import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decide } from "../decide.ts";
import { parseRetry } from "../message.ts";
import { NO_TRIES } from "../stamps.ts";
import { functionRetry, type RetryFunction } from "./function.ts";
import { DEFAULT_RETRY } from "./multiplier.ts";

const failed = (attempt: number, code?: string) => ({
  attempt,
  type: "t",
  queue: "q",
  error: { name: "Error", message: "no", ...(code === undefined ? {} : { code }) },
});

/** What becomes of a failure under this strategy. */
const decided = (retry: RetryFunction, failures = 0, code?: string) =>
  decide(
    { kind: "failed", failure: { error: failed(1, code).error } },
    {
      ...{ type: "t", queue: "q", history: [], handled: [], suspect: 0, workerId: "w", now: 0, random: () => 0.5 },
      tries: { ...NO_TRIES, failures },
      strategy: functionRetry(retry),
    },
  );

describe("a retry strategy of one function", () => {
  test("decides by the error, the attempt and the queue", () => {
    const byCode: RetryFunction = ({ error, attempt, queue }) => (error.code === "ECONNREFUSED" && queue === "q" ? attempt * 10 : false);
    const retried = decided(byCode, 2, "ECONNREFUSED");
    assert.deepEqual([retried.kind, retried.kind === "retry" && retried.delayMs], ["retry", 30]);
    const given = decided(byCode, 0, "EACCES");
    assert.deepEqual([given.kind, given.kind === "deadLetter" && given.failure.reason], ["deadLetter", "retries_exhausted"]);
  });

  test("is carried out as it answers, whatever the attempt, within a year", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), fc.nat({ max: 1_000_000 }), (delayMs, failures) => {
        const decision = decided(() => delayMs, failures);
        assert.deepEqual([decision.kind, decision.kind === "retry" && decision.delayMs], ["retry", Math.min(delayMs, 365 * 86_400_000)]);
      }),
    );
  });

  test("that answers nonsense or throws leaves the decision to the default strategy, and loses no message", () => {
    const nonsense: RetryFunction[] = [
      () => undefined as never,
      () => Number.NaN,
      () => -1,
      () => "soon" as never,
      () => true as never,
      () => {
        throw new Error("a mistake");
      },
    ];
    for (const retry of nonsense) {
      const first = decided(retry);
      assert.deepEqual([first.kind, first.kind === "retry" && first.delayMs], ["retry", DEFAULT_RETRY.delayMs]);
      assert.equal(decided(retry, DEFAULT_RETRY.maxRetries).kind, "deadLetter");
    }
  });

  test("may stand wherever numbers may", () => {
    const strategy = parseRetry(() => 5, "retry");
    assert.ok("getDelayMs" in strategy);
    assert.equal(
      strategy.getDelayMs(failed(1), () => 0),
      5,
    );
    assert.equal(strategy.maxRetries, Number.POSITIVE_INFINITY);
  });
});
