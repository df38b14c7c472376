import { fileURLToPath } from "node:url";
import { setEnvironmentData } from "node:worker_threads";
import { createMessenger, type MessengerConfig } from "@symphony/core";
import { runWorkerProcess } from "@symphony/worker-runner";
import { type Contestant, chunks, payloadOf } from "./contestant.ts";
import { type BenchEnvironment, ENVIRONMENT_KEY, QUEUE } from "./ours-names.ts";

interface OursSettings {
  readonly execution: "inline" | "thread";
  readonly threads: number;
  readonly worker: { readonly batchSize: number; readonly maxConcurrency: number };
}

const CONFIG = new URL("./ours.config.ts", import.meta.url);
let opened = 0;

/** Symphony Messenger as `symphony consume` runs it in one process: leases, pool threads where wanted, the defaults of the transport. */
const shape: Omit<Contestant, "candidates"> = {
  async fill(connectionString, count) {
    const { messenger, Bench } = await open(connectionString, "inline", count);
    await messenger.setUp();
    for (const numbers of chunks(count)) {
      const results = await messenger.dispatchMany(numbers.map((number) => ({ type: Bench, payload: payloadOf(number) })));
      for (const result of results) if ("error" in result) throw result.error;
    }
    await messenger.close();
  },

  async prepare({ connectionString, settings, count }) {
    const { execution, threads, worker } = settings as unknown as OursSettings;
    const { messenger, counters } = await open(connectionString, execution, count);
    const run = runWorkerProcess({ configPath: fileURLToPath(CONFIG), messenger, threads, worker: { ...worker, queues: [QUEUE] } });
    let ended: Promise<unknown> | undefined;
    return {
      start() {
        ended = run.start();
        return Promise.resolve();
      },
      async done() {
        for (let seen = Atomics.load(counters, 0); seen < count; seen = Atomics.load(counters, 0))
          await Atomics.waitAsync(counters, 0, seen, 20).value;
      },
      runs: () => counters.subarray(1),
      async stop() {
        await run.stop("manual");
        await ended;
        await messenger.close();
      },
    };
  },

  unsettled: `SELECT EXISTS (SELECT 1 FROM symphony.job WHERE name = '${QUEUE}') OR EXISTS (SELECT 1 FROM symphony.messenger_bundle) AS left`,
};

export const inline: Contestant = {
  ...shape,
  candidates: {
    "batch 1000, concurrency 1000": { execution: "inline", threads: 1, worker: { batchSize: 1_000, maxConcurrency: 1_000 } },
    "batch 500, concurrency 500": { execution: "inline", threads: 1, worker: { batchSize: 500, maxConcurrency: 500 } },
    "batch 500, concurrency 100": { execution: "inline", threads: 1, worker: { batchSize: 500, maxConcurrency: 100 } },
  },
};

export const threads: Contestant = {
  ...shape,
  candidates: {
    "1 thread, batch 1000, concurrency 1000": { execution: "thread", threads: 1, worker: { batchSize: 1_000, maxConcurrency: 1_000 } },
    "2 threads, batch 500, concurrency 200": { execution: "thread", threads: 2, worker: { batchSize: 500, maxConcurrency: 200 } },
  },
};

/** The configuration reads where it is from the environment that threads share, so that must be there first. */
async function open(dsn: string, execution: "inline" | "thread", count: number) {
  const runs = new SharedArrayBuffer((count + 1) * Int32Array.BYTES_PER_ELEMENT);
  const environment: BenchEnvironment = { dsn, execution, runs, count };
  setEnvironmentData(ENVIRONMENT_KEY, environment as never);
  // A module of its own for every call: what it read from the environment stays in it.
  opened += 1;
  const { default: config, Bench } = (await import(`${CONFIG.href}?${opened}`)) as typeof import("./ours.config.ts");
  return { messenger: await createMessenger(config as MessengerConfig), Bench, counters: new Int32Array(runs) };
}
