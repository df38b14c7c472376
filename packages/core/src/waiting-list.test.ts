import assert from "node:assert/strict";
import { test } from "node:test";
import { LazyDelivery } from "./lazy-delivery.ts";
import { createJsonSerializer } from "./serializer.ts";
import { WaitingList } from "./waiting-list.ts";
import { Batch } from "./worker-state.ts";

const serializer = createJsonSerializer();
const batch = new Batch(9, 0);
const delivery = (id: string): LazyDelivery => new LazyDelivery({ id, queue: "q", fence: 0 }, 5, "null", serializer);

test("gives messages out in the order in which they came, also when some were taken and one was removed in between", () => {
  const list = new WaitingList();
  const [a, b, c, d] = ["a", "b", "c", "d"].map(delivery) as [LazyDelivery, LazyDelivery, LazyDelivery, LazyDelivery];
  for (const received of [a, b, c]) list.add({ received, batch });
  assert.equal(list.take()?.received, a);
  assert.equal(list.remove(a), undefined, "it is taken already");
  assert.equal(list.remove(b)?.received, b);
  list.add({ received: d, batch });
  assert.deepEqual(list.all(), [c, d]);
  assert.equal(list.length, 2);
  assert.equal(list.take()?.received, c);
  assert.equal(list.take()?.received, d);
  assert.equal(list.take(), undefined);
  assert.equal(list.length, 0);
  list.add({ received: a, batch });
  assert.equal(list.take()?.received, a, "it goes on after it was empty");
});

test("stays in order, and small, when there are always some waiting", () => {
  const list = new WaitingList();
  const all = Array.from({ length: 5_000 }, (_, i) => delivery(`${i}`));
  const taken: unknown[] = [];
  for (const [i, received] of all.entries()) {
    list.add({ received, batch });
    if (i >= 10) taken.push(list.take()?.received);
  }
  assert.equal(list.length, 10);
  assert.deepEqual([...taken, ...list.all()], all);
  assert.equal(list.remove(all.at(-1) as LazyDelivery)?.received, all.at(-1));
  assert.equal(list.length, 9);
});
