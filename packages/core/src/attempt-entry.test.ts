import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { type Attempt, AttemptEntry, currentAttempt } from "./attempt.ts";

const attempts = ["a", "b", "c"].map((name) => ({ name }) as unknown as Attempt) as [Attempt, Attempt, Attempt];
const [a, b, c] = attempts;
const seen = (): Attempt | undefined => currentAttempt.getStore();

test("enters each attempt for as long as its promises live, and leaves the caller where it was", async () => {
  const entry = new AttemptEntry();
  const later = Promise.withResolvers<void>();
  const work = async (attempt: Attempt): Promise<boolean> => {
    assert.equal(seen(), attempt);
    await later.promise;
    return seen() === attempt;
  };
  const running = attempts.map((attempt) => {
    const result = entry.run(attempt, work, undefined);
    assert.equal(seen(), undefined);
    return result;
  });
  later.resolve();
  assert.deepEqual(await Promise.all(running), [true, true, true]);
  assert.equal(seen(), undefined);
});

test("enters an attempt within another one, and comes back to it", () => {
  const entry = new AttemptEntry();
  entry.run(a, () => assert.equal(seen(), a), undefined);
  currentAttempt.run(b, () => {
    entry.run(c, () => assert.equal(seen(), c), undefined);
    assert.equal(seen(), b);
  });
});

test("keeps what surrounds the first attempt, comes back also from an exception", () => {
  const entry = new AttemptEntry();
  const user = new AsyncLocalStorage<string>();
  user.run("outer", () => {
    entry.run(a, () => assert.equal(user.getStore(), "outer"), undefined);
    assert.throws(() =>
      entry.run(
        b,
        () => {
          throw new Error("on purpose");
        },
        undefined,
      ),
    );
    assert.equal(seen(), undefined);
    assert.equal(user.getStore(), "outer");
  });
});
