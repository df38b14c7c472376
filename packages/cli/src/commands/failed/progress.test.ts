import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryTransport } from "@symphony/core";
import { bar } from "./progress.ts";

test("a bar tells how far a redrive is, how fast, and how long it will take", async () => {
  const { redrives } = createMemoryTransport();
  const redrive = await redrives.create({ action: "retry", filter: {}, requestedBy: "test" });
  const at = (done: number, matching: number) => bar({ ...redrive, done, matching, conflicts: 1 }, { count: 0, ms: 10_000 });
  assert.equal(at(49, 100), `[${"#".repeat(15)}${"·".repeat(15)}] 50/100, 5.0/s, 10s left`);
  assert.equal(at(99, 100), `[${"#".repeat(30)}] 100/100, 10.0/s`);
  assert.equal(at(149, 100), `[${"#".repeat(30)}] 150/150, 15.0/s`, "more than there were thought to be");
  const canaries = bar(
    { ...redrive, done: 1, matching: 4, canary: 1, canaryState: "waiting", accuracy: "estimated" },
    { count: 1, ms: 500 },
  );
  assert.match(canaries, /1\/~4, 0.0\/s, waiting for the first$/);
});
