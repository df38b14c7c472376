import { systemRuntime } from "@symphony/core";
import pg from "pg";
import { PgBoss, type WorkOptions } from "pg-boss";
import { type Contestant, chunks } from "./contestant.ts";
import { type BenchPayload, payloadOf } from "./payload.ts";
import { lookInto } from "./sql-look.ts";
import { handlerOf } from "./work.ts";

const QUEUE = "bench";
/** Consumers may lose a claim or an acknowledgement in a server crash and still be at-least-once: as ours are told to. */
const ASYNC_COMMIT = "-c synchronous_commit=off";

interface PgBossSettings {
  readonly work: WorkOptions;
  /** `useListenNotify`. */
  readonly notify?: boolean;
  /** Commits wait for the disk, as they do unless somebody says otherwise. */
  readonly durable?: boolean;
}

const fastest = { batchSize: 1_000, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, includeMetadata: false } as const;

/** Raw pg-boss, `work()`, as fast as its documentation lets it be. */
export const pgboss: Contestant = {
  title: "pg-boss",
  store: "postgres",
  family: "pgboss",
  candidates: {
    "batch 1000": { work: fastest },
    "batch 1000, localConcurrency 2": { work: { ...fastest, localConcurrency: 2 } },
    "batch 1000, localConcurrency 4": { work: { ...fastest, localConcurrency: 4 } },
    "batch 1000, localConcurrency 4, Node as it is": { work: { ...fastest, localConcurrency: 4 }, nodeFlags: [] },
    "batch 250, localConcurrency 2": { work: { ...fastest, batchSize: 250, localConcurrency: 2 } },
  },

  async fill({ connectionString }, count, { notify = false } = {}) {
    const boss = await open(connectionString);
    await makeQueue(boss, connectionString, notify);
    for (const numbers of chunks(count)) await boss.insert(QUEUE, numbers.map(payloadOf).map(jobOf));
    await boss.stop({ graceful: false });
  },

  async prepare({ target, settings, ledger, work: handlerWork }) {
    const { work, notify = false, durable = false } = settings as unknown as PgBossSettings;
    const boss = await open(target.connectionString, { ...(durable ? {} : { options: ASYNC_COMMIT }), useListenNotify: notify });
    await boss.getQueue(QUEUE);
    const handle = handlerOf(handlerWork, ledger);
    return {
      async start() {
        await boss.work<BenchPayload>(QUEUE, work, async (jobs) => {
          const pending = jobs.map((job) => handle(job.data)).filter((each) => each !== undefined);
          if (pending.length > 0) await Promise.all(pending);
        });
      },
      stop: () => boss.stop({ graceful: false }),
    };
  },

  async produce({ connectionString }) {
    const boss = await open(connectionString);
    if ((await boss.getQueue(QUEUE)) === null) await makeQueue(boss, connectionString, false);
    return {
      one: (payload) => boss.send(QUEUE, payload, { id: systemRuntime.newId() }),
      many: (payloads) => boss.insert(QUEUE, payloads.map(jobOf)),
      close: () => boss.stop({ graceful: false }),
    };
  },

  look: ({ connectionString }) => lookInto(connectionString, `pgboss.job WHERE name = '${QUEUE}' AND state < 'completed'`),
};

/** UUIDv7: neighbours in time are neighbours in the index, which is worth a quarter of the cost of a job. */
const jobOf = (data: BenchPayload) => ({ id: systemRuntime.newId(), data });

async function open(
  connectionString: string,
  more: { readonly options?: string; readonly useListenNotify?: boolean } = {},
): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false, ...more });
  boss.on("error", (error) => console.error("pg-boss:", error));
  return boss.start();
}

async function makeQueue(boss: PgBoss, connectionString: string, notify: boolean): Promise<void> {
  await boss.createQueue(QUEUE, { partition: true, notify });
  await cureStatistics(connectionString, (await boss.getQueue(QUEUE))?.table);
}

/** Without it the planner takes the queue for one row long and reads all of it for every batch: fifty times slower. */
async function cureStatistics(connectionString: string, table: string | undefined): Promise<void> {
  if (table === undefined) throw new Error("pg-boss did not tell its partition");
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(`ALTER TABLE pgboss."${table}" ALTER COLUMN name SET (n_distinct = 1)`);
  await client.end();
}
