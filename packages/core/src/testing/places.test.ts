import { test } from "node:test";
import fc from "fast-check";
import { systemRuntime } from "../clock.ts";
import { createMemoryTransport } from "../transports/memory.ts";
import { checkPlaces, operationOf } from "./contract/places.ts";
import type { TransportContractHarness } from "./index.ts";
import { createManualRuntime } from "./manual-clock.ts";

/** `SYMPHONY_TEST_SEED` repeats a run. */
const SEED = Number(process.env.SYMPHONY_TEST_SEED ?? Math.floor(systemRuntime.random() * 2 ** 31));
const ROUNDS = Number(process.env.SYMPHONY_TEST_ROUNDS ?? 200);

const operations = fc.array(fc.tuple(fc.nat(999), fc.nat(999), fc.nat(999)).map(operationOf), {
  minLength: 1,
  maxLength: 150,
  size: "max",
});

const memory: TransportContractHarness = {
  async create({ queues }) {
    const runtime = createManualRuntime();
    const transport = createMemoryTransport({ queues, runtime });
    return {
      transport,
      advance: (ms) => runtime.clock.advance(ms),
      now: () => runtime.clock.now(),
      close: () => transport.close(),
    };
  },
};

test("memory: no message is ever in two places or in none, and the most urgent one is given out first", async (t) => {
  t.diagnostic(`seed ${SEED}, ${ROUNDS} rounds`);
  await fc.assert(
    fc.asyncProperty(operations, (list) => checkPlaces(memory, list)),
    { seed: SEED, numRuns: ROUNDS },
  );
});
