import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DEFAULT_RETRY, jittered, multiplierRetry } from "./multiplier.ts";

const failed = (attempt: number) => ({ attempt, type: "t", queue: "q", error: { name: "Error", message: "no" } });
const half = (): number => 0.5;
const YEAR_MS = 365 * 86_400_000;

const anyOptions = fc.record({
  maxRetries: fc.integer({ min: 0, max: 1_000_000 }),
  delayMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true })),
  multiplier: fc.double({ min: 1, max: 1e6, noNaN: true }),
  maxDelayMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true })),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const anyAttempt = fc.integer({ min: 1, max: 1_000_000 });

describe("the multiplying retry strategy", () => {
  test("doubles from one second when nothing is said, three times", () => {
    const strategy = multiplierRetry();
    assert.deepEqual(
      [1, 2, 3].map((attempt) => strategy.getDelayMs(failed(attempt), half)),
      [1000, 2000, 4000],
    );
    assert.deepEqual(
      [1, 2, 3, 4].map((attempt) => strategy.isRetryable(failed(attempt))),
      [true, true, true, false],
    );
    assert.equal(strategy.maxRetries, DEFAULT_RETRY.maxRetries);
  });

  test("gives a whole number of milliseconds, 0 or more, never above the maximum or a year", () => {
    fc.assert(
      fc.property(anyOptions, anyAttempt, anyRandom, (options, attempt, random) => {
        const delayMs = multiplierRetry(options).getDelayMs(failed(attempt), () => random);
        assert.ok(Number.isFinite(delayMs) && delayMs >= 0, `${delayMs}`);
        assert.ok(delayMs <= YEAR_MS);
        if (options.maxDelayMs > 0) assert.ok(delayMs <= options.maxDelayMs);
      }),
    );
  });

  test("varies a delay by no more than its jitter", () => {
    fc.assert(
      fc.property(anyOptions, anyAttempt, anyRandom, (options, attempt, random) => {
        const cap = options.maxDelayMs === 0 ? YEAR_MS : Math.min(options.maxDelayMs, YEAR_MS);
        const power = options.multiplier ** (attempt - 1);
        const plain = options.delayMs === 0 ? 0 : Math.min(options.delayMs * power, cap);
        const delayMs = multiplierRetry(options).getDelayMs(failed(attempt), () => random);
        assert.ok(delayMs >= Math.floor(plain * (1 - options.jitter)) - 1 && delayMs <= plain * (1 + options.jitter) + 1, `${delayMs}`);
      }),
    );
  });

  test("never gets shorter from one attempt to the next without jitter", () => {
    fc.assert(
      fc.property(anyOptions, fc.integer({ min: 1, max: 2000 }), (options, attempt) => {
        const strategy = multiplierRetry({ ...options, jitter: 0 });
        assert.ok(strategy.getDelayMs(failed(attempt + 1), half) >= strategy.getDelayMs(failed(attempt), half));
      }),
    );
  });

  test("retries at once, however often, when the delay is 0", () => {
    for (const attempt of [1, 2, 1025, 1_000_000]) assert.equal(multiplierRetry({ delayMs: 0 }).getDelayMs(failed(attempt), half), 0);
  });

  test("allows exactly maxRetries attempts after the first", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), anyAttempt, (maxRetries, attempt) => {
        assert.equal(multiplierRetry({ maxRetries }).isRetryable(failed(attempt)), attempt <= maxRetries);
      }),
    );
  });
});

test("jitter spreads evenly around the delay", () => {
  assert.equal(
    jittered(1000, 0.1, () => 0),
    900,
  );
  assert.equal(jittered(1000, 0.1, half), 1000);
  assert.ok(Math.abs(jittered(1000, 0.1, () => 1 - Number.EPSILON) - 1100) < 1e-6);
  assert.equal(
    jittered(1000, 0, () => 0.9),
    1000,
  );
});
