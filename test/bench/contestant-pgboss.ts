import { systemRuntime } from "@symphony/core";
import pg from "pg";
import { PgBoss, type WorkOptions } from "pg-boss";
import { type BenchPayload, type Contestant, chunks, payloadOf, Tally } from "./contestant.ts";

const QUEUE = "bench";
/** Consumers may lose a claim or an acknowledgement in a server crash and still be at-least-once: as ours are told to. */
const ASYNC_COMMIT = "-c synchronous_commit=off";

interface PgBossSettings {
  readonly work: WorkOptions;
  readonly options?: string;
}

const fastest = { batchSize: 1_000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, includeMetadata: false } as const;

/** Raw pg-boss, `work()`, as fast as its documentation lets it be. */
export const pgboss: Contestant = {
  candidates: {
    "batch 1000": { work: fastest, options: ASYNC_COMMIT },
    "batch 1000, localConcurrency 2": { work: { ...fastest, localConcurrency: 2 }, options: ASYNC_COMMIT },
    "batch 1000, localConcurrency 4": { work: { ...fastest, localConcurrency: 4 }, options: ASYNC_COMMIT },
    "batch 250, localConcurrency 2": { work: { ...fastest, batchSize: 250, localConcurrency: 2 }, options: ASYNC_COMMIT },
  },

  async fill(connectionString, count) {
    const boss = await open(connectionString);
    await boss.createQueue(QUEUE, { partition: true });
    await cureStatistics(connectionString, (await boss.getQueue(QUEUE))?.table);
    for (const numbers of chunks(count)) {
      // UUIDv7: neighbours in time are neighbours in the index, which is worth a quarter of the cost of a job.
      await boss.insert(
        QUEUE,
        numbers.map((number) => ({ id: systemRuntime.newId(), data: payloadOf(number) })),
      );
    }
    await boss.stop({ graceful: false });
  },

  async prepare({ connectionString, settings, count }) {
    const tally = new Tally(count);
    const { work, options } = settings as unknown as PgBossSettings;
    const boss = await open(connectionString, options);
    await boss.getQueue(QUEUE);
    return {
      async start() {
        await boss.work<BenchPayload>(QUEUE, work, (jobs) => {
          for (const job of jobs) tally.count(job.data.number);
          return Promise.resolve();
        });
      },
      done: () => tally.done,
      runs: () => tally.runs,
      stop: () => boss.stop({ graceful: false }),
    };
  },

  unsettled: `SELECT EXISTS (SELECT 1 FROM pgboss.job WHERE name = '${QUEUE}' AND state < 'completed') AS left`,
};

async function open(connectionString: string, options?: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false, ...(options === undefined ? {} : { options }) });
  boss.on("error", (error) => console.error("pg-boss:", error));
  return boss.start();
}

/** Without it the planner takes the queue for one row long and reads all of it for every batch: fifty times slower. */
async function cureStatistics(connectionString: string, table: string | undefined): Promise<void> {
  if (table === undefined) throw new Error("pg-boss did not tell its partition");
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(`ALTER TABLE pgboss."${table}" ALTER COLUMN name SET (n_distinct = 1)`);
  await client.end();
}
