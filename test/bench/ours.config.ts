import { getEnvironmentData } from "node:worker_threads";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
import type { BenchPayload } from "./contestant.ts";
import { type BenchEnvironment, ENVIRONMENT_KEY, QUEUE } from "./ours-names.ts";

const { dsn, execution, runs, count } = getEnvironmentData(ENVIRONMENT_KEY) as unknown as BenchEnvironment;
const counters = new Int32Array(runs);

export const Bench = defineMessage<never>("bench.drain", { queue: QUEUE });

const handler = defineHandler(
  Bench,
  (payload) => {
    Atomics.add(counters, (payload as BenchPayload).number + 1, 1);
    if (Atomics.add(counters, 0, 1) + 1 === count) Atomics.notify(counters, 0);
  },
  { execution, name: "bench" },
);

// As the others: what a crash of the server undoes is done again.
const options = { synchronousCommit: "off" };

export default defineConfig({ transports: { default: { dsn, options } }, handlers: [handler] });
