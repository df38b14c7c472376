import { defineConfig, defineHandler, defineMessage } from "@symphony/core";

/** Of the fleets whose memory is measured: JavaScript, as it is deployed, because reading TypeScript takes memory in each thread. */
const Bench = defineMessage("bench.drain", { queue: "bench" });
const handler = defineHandler(Bench, () => undefined, { execution: "thread", name: "bench" });
const options = { synchronousCommit: "off" };

export default defineConfig({ transports: { default: { dsn: process.env.SYMPHONY_BENCH_DSN, options } }, handlers: [handler] });
