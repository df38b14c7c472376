import { Logger, makeWorkerUtils, type Runner, run, WorkerPreset } from "graphile-worker";
import { type Contestant, chunks, withAsyncCommit } from "./contestant.ts";
import { type BenchPayload, payloadOf } from "./payload.ts";
import { lookInto } from "./sql-look.ts";
import { handlerOf } from "./work.ts";

const TASK = "bench";
/** Its own logger writes a line per job. */
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error("graphile-worker:", message);
});

const batched = { completeJobBatchDelay: 0, failJobBatchDelay: 0 };

/** graphile-worker, local queue and batched completion on, as its performance page and its perfTest set it. */
export const graphile: Contestant = {
  title: "graphile-worker",
  store: "postgres",
  family: "graphile",
  candidates: {
    "documented: 24 jobs, local queue 500, delay 0": { concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, ...batched },
    "documented, Node as it is": { concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, ...batched, nodeFlags: [] },
    "perfTest: refetchDelay 10": {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
      ...batched,
    },
    "100 jobs, local queue 1000, delay 0": { concurrentJobs: 100, maxPoolSize: 10, localQueue: { size: 1_000 }, ...batched },
    "24 jobs, local queue 1000, delay 250": {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 1_000 },
      completeJobBatchDelay: 250,
      failJobBatchDelay: 250,
    },
  },

  async fill({ connectionString }, count) {
    const utils = await makeWorkerUtils({ connectionString, logger });
    await utils.migrate();
    for (const numbers of chunks(count)) await utils.addJobs(numbers.map(payloadOf).map(jobOf));
    await utils.release();
  },

  prepare({ target, settings, ledger, work }) {
    const { durable = false, nodeFlags: _, ...preset } = settings as { readonly durable?: boolean; readonly nodeFlags?: unknown };
    const handle = handlerOf(work, ledger);
    const connectionString = durable ? target.connectionString : withAsyncCommit(target.connectionString);
    let runner: Runner | undefined;
    return Promise.resolve({
      async start() {
        runner = await run({
          taskList: { [TASK]: (payload: unknown) => handle(payload as BenchPayload) },
          preset: { extends: [WorkerPreset], worker: { connectionString, logger, ...preset } },
          noHandleSignals: true,
        } as Parameters<typeof run>[0]);
      },
      async stop() {
        await runner?.stop();
      },
    });
  },

  async produce({ connectionString }) {
    const utils = await makeWorkerUtils({ connectionString, logger });
    await utils.migrate();
    return {
      one: (payload) => utils.addJob(TASK, payload),
      many: (payloads) => utils.addJobs(payloads.map(jobOf)),
      close: async () => {
        await utils.release();
      },
    };
  },

  look: ({ connectionString }) => lookInto(connectionString, "graphile_worker._private_jobs"),
};

const jobOf = (payload: BenchPayload) => ({ identifier: TASK, payload });
