import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Heap } from "./heap.ts";

test("gives items back in order, however they were put in and taken out", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer(), { freq: 3 })), (steps) => {
      const heap = new Heap<number>((a, b) => a < b);
      const model: number[] = [];
      for (const step of steps) {
        if (step === null) assert.equal(heap.pop(), model.shift());
        else {
          heap.push(step);
          model.push(step);
          model.sort((a, b) => a - b);
        }
        assert.equal(heap.peek(), model[0]);
        assert.equal(heap.size, model.length);
        assert.deepEqual(
          [...heap.values()].sort((a, b) => a - b),
          model,
        );
      }
      while (model.length > 0) assert.equal(heap.pop(), model.shift());
      assert.equal(heap.pop(), undefined);
    }),
  );
});
