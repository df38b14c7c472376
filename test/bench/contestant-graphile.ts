import { Logger, makeWorkerUtils, type Runner, run, WorkerPreset } from "graphile-worker";
import { type BenchPayload, type Contestant, chunks, payloadOf, Tally } from "./contestant.ts";

const TASK = "bench";
/** Its own logger writes a line per job. */
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error("graphile-worker:", message);
});

/** graphile-worker, local queue and batched completion on, as its performance page and its perfTest set it. */
export const graphile: Contestant = {
  candidates: {
    "documented: 24 jobs, local queue 500, delay 0": {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
    "perfTest: refetchDelay 10": {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
    "100 jobs, local queue 1000, delay 0": {
      concurrentJobs: 100,
      maxPoolSize: 10,
      localQueue: { size: 1_000 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
    "24 jobs, local queue 1000, delay 250": {
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 1_000 },
      completeJobBatchDelay: 250,
      failJobBatchDelay: 250,
    },
  },

  async fill(connectionString, count) {
    const utils = await makeWorkerUtils({ connectionString, logger });
    await utils.migrate();
    for (const numbers of chunks(count)) await utils.addJobs(numbers.map((number) => ({ identifier: TASK, payload: payloadOf(number) })));
    await utils.release();
  },

  prepare({ connectionString, settings, count }) {
    const tally = new Tally(count);
    let runner: Runner | undefined;
    return Promise.resolve({
      async start() {
        runner = await run({
          taskList: { [TASK]: (payload: unknown) => tally.count((payload as BenchPayload).number) },
          preset: { extends: [WorkerPreset], worker: { connectionString: undurable(connectionString), logger, ...settings } },
          noHandleSignals: true,
        } as Parameters<typeof run>[0]);
      },
      done: () => tally.done,
      runs: () => tally.runs,
      async stop() {
        await runner?.stop();
      },
    });
  },

  unsettled: "SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS left",
};

/** As the other contestants: what a crash of the server undoes is done again. */
function undurable(connectionString: string): string {
  const url = new URL(connectionString);
  url.searchParams.set("options", "-c synchronous_commit=off");
  return url.toString();
}
