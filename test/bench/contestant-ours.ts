import { fileURLToPath } from "node:url";
import { setEnvironmentData } from "node:worker_threads";
import { createMessenger, type MessengerConfig } from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { runWorkerProcess, type WorkerProcessOptions } from "@symphony/worker-runner";
import { type Contestant, chunks } from "./contestant.ts";
import { Ledger } from "./ledger.ts";
import { type BenchEnvironment, ENVIRONMENT_KEY, queueName } from "./ours-names.ts";
import { payloadOf } from "./payload.ts";
import { lookInto } from "./sql-look.ts";
import { NOOP } from "./work.ts";

interface OursSettings {
  readonly execution: "inline" | "thread";
  readonly threads: number;
  readonly worker: NonNullable<WorkerProcessOptions["worker"]>;
  /** Of the transport, beside those that all consumers here have. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Counts what threads post to each other. */
  readonly posts?: SharedArrayBuffer | undefined;
}

const CONFIG = new URL("./ours.config.ts", import.meta.url);
let opened = 0;

/** Symphony Messenger as `symphony consume` runs it in one process: leases, pool threads where wanted, the defaults of the transport. */
const shape = {
  store: "postgres",
  family: "ours",

  async fill({ connectionString }, count, { queues = 1 } = {}) {
    const { messenger, Bench } = await open({ dsn: connectionString, execution: "inline", queues });
    await messenger.setUp();
    for (const numbers of chunks(count)) {
      const items = numbers.map((number) => ({ type: Bench, payload: payloadOf(number), options: { queue: queueName(number % queues) } }));
      refuseErrors(await messenger.dispatchMany(items));
    }
    await messenger.close();
  },

  async prepare({ target, settings, ledger, work, queues }) {
    const { execution, threads, worker, options = {}, posts } = settings as unknown as OursSettings;
    const where = { dsn: target.connectionString, execution, queues, options };
    const { messenger } = await open({ ...where, work, ledger: ledger.buffers, ...(posts === undefined ? {} : { posts }) });
    const run = runWorkerProcess({ configPath: fileURLToPath(CONFIG), messenger, threads, worker });
    // Started threads, as the others' workers are started: one that still loads its modules takes a core from everybody.
    if (execution === "thread") await waitFor(() => run.health().threads.ready === threads, { what: "every thread" });
    let ended: Promise<unknown> | undefined;
    return {
      start() {
        ended = run.start();
        return Promise.resolve();
      },
      async stop() {
        await run.stop("manual");
        await ended;
        await messenger.close();
      },
    };
  },

  async produce({ connectionString }) {
    const { messenger, Bench } = await open({
      dsn: connectionString,
      execution: "inline",
      queues: 1,
      options: { synchronousCommit: "on" },
    });
    await messenger.setUp();
    return {
      one: (payload) => messenger.dispatch(Bench, payload as never),
      many: async (payloads) => refuseErrors(await messenger.dispatchMany(payloads.map((payload) => ({ type: Bench, payload })))),
      close: () => messenger.close(),
    };
  },

  look: ({ connectionString }) =>
    lookInto(
      connectionString,
      "symphony.messenger_bundle",
      "symphony.job WHERE name LIKE 'bench%' AND start_after < now() + interval '1 hour'",
    ),
} as const satisfies Partial<Contestant>;

/** A handler in the process, for work that waits more than it computes. */
export const inline: Contestant = {
  ...shape,
  title: "Symphony Messenger, inline",
  candidates: {
    "batch 1000, concurrency 1000": { execution: "inline", threads: 1, worker: { batchSize: 1_000, maxConcurrency: 1_000 } },
    "batch 500, concurrency 500": { execution: "inline", threads: 1, worker: { batchSize: 500, maxConcurrency: 500 } },
    "batch 500, concurrency 100": { execution: "inline", threads: 1, worker: { batchSize: 500, maxConcurrency: 100 } },
  },
};

/** The default: handlers in pool threads. */
export const threads: Contestant = {
  ...shape,
  title: "Symphony Messenger, threads",
  candidates: {
    "1 thread, batch 1000, concurrency 1000": { execution: "thread", threads: 1, worker: { batchSize: 1_000, maxConcurrency: 1_000 } },
    "2 threads, batch 500, concurrency 200": { execution: "thread", threads: 2, worker: { batchSize: 500, maxConcurrency: 200 } },
  },
};

type Wanted = Pick<BenchEnvironment, "dsn" | "execution" | "queues"> & Partial<BenchEnvironment>;

/** The configuration reads where it is from the environment that threads share, so that must be there first. */
export async function open(wanted: Wanted) {
  const environment: BenchEnvironment = { work: NOOP, ledger: Ledger.create(0).buffers, ...wanted };
  setEnvironmentData(ENVIRONMENT_KEY, environment as never);
  // A module of its own for every call: what it read from the environment stays in it.
  opened += 1;
  const { default: config, Bench } = (await import(`${CONFIG.href}?${opened}`)) as typeof import("./ours.config.ts");
  return { messenger: await createMessenger(config as MessengerConfig), Bench };
}

function refuseErrors(results: readonly object[]): void {
  for (const result of results) if ("error" in result) throw result.error;
}
