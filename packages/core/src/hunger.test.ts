import assert from "node:assert/strict";
import { test } from "node:test";
import { Hunger } from "./hunger.ts";
import { Prefetch } from "./prefetch.ts";

const inVain = { asked: 10, got: 10, held: 0 };

/** Receives in vain until it is hungry. */
function untilHungry(hunger: Hunger): number {
  let count = 0;
  for (; !hunger.isHungry; count++) hunger.observe(inVain);
  return count;
}

test("two receives that find nothing left of the one before make hungry, one that finds much left does not", () => {
  const hunger = new Hunger(new Prefetch(10, 10), 10);
  assert.equal(untilHungry(hunger), 2);
  hunger.observe({ ...inVain, held: 6 });
  assert.equal(untilHungry(hunger), 2);
  hunger.observe({ ...inVain, got: 9 });
  assert.equal(untilHungry(hunger), 2);
});

test("a store that is busy with others is asked for more after many receives only", () => {
  const hunger = new Hunger(new Prefetch(10, 10), 10);
  untilHungry(hunger);
  hunger.refused();
  assert.equal(hunger.isHungry, false);
  hunger.observe({ ...inVain, held: 6 });
  hunger.observe({ ...inVain, got: 0 });
  assert.equal(untilHungry(hunger), 32, "what makes less hungry does not make it sooner");
  hunger.refused();
  hunger.forget();
  assert.equal(untilHungry(hunger), 2);
});
