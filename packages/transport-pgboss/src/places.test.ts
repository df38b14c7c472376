import { test } from "node:test";
import { systemClock, systemRuntime } from "@symphony/core";
import { checkPlaces, operationOf, type TransportContractHarness } from "@symphony/core/testing";
import fc from "fast-check";
import { contractFixture, TestSchema, testDatabase } from "./testing/database.ts";

/** `SYMPHONY_TEST_SEED` repeats a run. */
const SEED = Number(process.env.SYMPHONY_TEST_SEED ?? Math.floor(systemRuntime.random() * 2 ** 31));
const ROUNDS = Number(process.env.SYMPHONY_TEST_ROUNDS ?? 5);
/** Milliseconds for making a failing list shorter. */
const SHRINK_MS = 60_000;

const operations = fc.array(fc.tuple(fc.nat(999), fc.nat(999), fc.nat(999)).map(operationOf), { minLength: 1, maxLength: 80, size: "max" });

const url = await testDatabase();

for (const [name, path] of [
  ["own statements", "auto"],
  ["pg-boss's public API", "portable"],
] as const) {
  test(`PostgreSQL, ${name}: no message is ever in two places or in none, and the most urgent one is given out first`, async (t) => {
    const schema = new TestSchema(url, t);
    const harness: TransportContractHarness = { create: ({ queues }) => contractFixture(schema, queues, { first: { path } }) };
    let failedAt = Number.POSITIVE_INFINITY;
    t.diagnostic(`seed ${SEED}, ${ROUNDS} rounds`);
    const holds = fc.asyncProperty(operations, async (list) => {
      if (systemClock.monotonic() - failedAt > SHRINK_MS) return;
      try {
        await checkPlaces(harness, list);
      } catch (error) {
        failedAt = Math.min(failedAt, systemClock.monotonic());
        throw error;
      }
    });
    await fc.assert(holds, { seed: SEED, numRuns: ROUNDS });
  });
}
