import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseQueueSelection, QueueOrder } from "./queue-order.ts";

/** Numbers that look random and are the same in every run. */
function randomness(): () => number {
  let state = 7;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

const DRAWS = 20_000;

/** Shares with which each queue is the first that is not empty. */
function shares(order: QueueOrder, empty: readonly string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < DRAWS; i++) {
    const first = order.next()?.find((name) => !empty.includes(name)) ?? "";
    counts[first] = (counts[first] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Math.round((count / DRAWS) * 100)]));
}

const near = (found: Record<string, number>, wanted: Record<string, number>): void => {
  for (const [name, share] of Object.entries(wanted)) {
    const off = Math.abs((found[name] ?? 0) - share);
    assert.ok(off <= 2, `${name} comes first in ${found[name]} % of all receives, wanted are ${share} %`);
  }
};

describe("the order of queues", () => {
  test("is that of the list, every time", () => {
    const order = new QueueOrder(["b", "a"], randomness());
    assert.deepEqual(
      [order.next(), order.next()],
      [
        ["b", "a"],
        ["b", "a"],
      ],
    );
    assert.equal(new QueueOrder(undefined, randomness()).next(), undefined);
  });

  test("follows the weights, and keeps their proportions when some queues are empty", () => {
    near(shares(new QueueOrder({ a: 6, b: 3, c: 1 }, randomness())), { a: 60, b: 30, c: 10 });
    near(shares(new QueueOrder({ a: 6, b: 3, c: 1 }, randomness()), ["a"]), { b: 75, c: 25 });
    near(shares(new QueueOrder({ a: 6, b: 3, c: 1 }, randomness()), ["b"]), { a: 86, c: 14 });
  });

  test("puts the first of many queues by its weight, with a bounded number of orders", () => {
    const weights = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`q${i}`, i === 0 ? 11 : 1]));
    const order = new QueueOrder(weights, randomness());
    near(shares(order), { q0: 50 });
    const orders = new Set(Array.from({ length: DRAWS }, () => order.next()?.join()));
    assert.ok(orders.size <= 32 + 12, `${orders.size} orders`);
  });

  test("names every queue exactly once", () => {
    const order = new QueueOrder({ a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 }, randomness());
    for (let i = 0; i < 1_000; i++) assert.equal(new Set(order.next()).size, 6);
  });

  test("is read from text: names, or names with weights, not both", () => {
    assert.deepEqual(parseQueueSelection("b, a,b", "--queues"), ["b", "a"]);
    assert.deepEqual(parseQueueSelection("a=3, b=1", "--queues"), { a: 3, b: 1 });
    for (const text of ["", ",", "a=3,b", "a=0", "a=1001", "a=x", "a=", "=3", "a b", "a=1=2"])
      assert.throws(() => parseQueueSelection(text, "--queues"), { code: "OPTIONS_INVALID" }, text);
  });
});
