import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedBed } from "./admin-bed.ts";
import { fuzz } from "./fuzz.ts";

const bed = await sharedBed();

test("answers generated requests as the document promises, and none with 500", async (t) => {
  const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
  const { requests, statuses, succeeded } = await fuzz(bed, 600, seed);
  t.diagnostic(`seed ${seed}: ${requests} requests, ${JSON.stringify(statuses)}`);
  assert.ok((statuses["200"] ?? 0) > requests / 20 && (statuses["400"] ?? 0) > requests / 20, JSON.stringify(statuses));
  assert.ok(succeeded.length >= 10, succeeded.join());
});
