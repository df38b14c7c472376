import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@symphony/core";
import { createPiscina } from "./thread-options.ts";

test("a thread's young generation stays small enough for it to run out of heap alone, with a limit or without", async () => {
  for (const [maxOldSpaceMb, expected] of [
    [undefined, { maxYoungGenerationSizeMb: 48 }],
    [4_096, { maxOldGenerationSizeMb: 4_096, maxYoungGenerationSizeMb: 48 }],
    [64, { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16 }],
    [8, { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 4 }],
  ] as const) {
    const piscina = createPiscina({ minThreads: 0, maxThreads: 1, maxOldSpaceMb, logger: silentLogger });
    assert.deepEqual(piscina.options.resourceLimits, expected);
    await piscina.destroy();
  }
});
