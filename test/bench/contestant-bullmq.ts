import { createPostgresBackend, Queue, runMigrations, Worker, type WorkerOptions } from "bullmq";
import { Redis } from "ioredis";
import pg from "pg";
import { type Contestant, chunks, type DrainInput, type Target } from "./contestant.ts";
import { type BenchPayload, payloadOf } from "./payload.ts";
import { handlerOf } from "./work.ts";

const QUEUE = "bench";
const PROCESSOR = new URL("./bullmq-processor.ts", import.meta.url);

interface BullSettings {
  readonly concurrency: number;
  /** Handlers in child processes or threads of BullMQ's own, instead of the process. */
  readonly sandbox?: "processes" | "threads";
  readonly durable?: boolean;
}

type Store = "redis" | "postgres";

const common = {
  candidates: {
    "concurrency 100": { concurrency: 100 },
    "concurrency 200": { concurrency: 200 },
    "concurrency 200, Node as it is": { concurrency: 200, nodeFlags: [] },
    "concurrency 500": { concurrency: 500 },
  },
  async fill(target: Target, count: number) {
    const producer = await produce(this.store as Store, target);
    for (const numbers of chunks(count)) await producer.many(numbers.map(payloadOf));
    await producer.close();
  },
  produce(target: Target) {
    return produce(this.store as Store, target);
  },
  prepare(input: DrainInput) {
    return prepare(this.store as Store, input);
  },
  async look(target: Target) {
    const { queue, close } = openQueue(this.store as Store, target);
    const count = async (): Promise<number> => {
      const counts = await queue.getJobCounts("wait", "active", "delayed", "prioritized");
      return Object.values(counts).reduce((sum, each) => sum + each, 0);
    };
    return { count, any: async () => (await count()) > 0, close };
  },
} as const satisfies Omit<Contestant, "title" | "store" | "family"> & ThisType<Contestant>;

/** On Redis that writes an append-only file, flushed every second: the durability that its documentation recommends. */
export const bullmq: Contestant = { ...common, title: "BullMQ on Redis", store: "redis", family: "bullmq" };
/** Its PostgreSQL backend, asynchronous commits as its tuning tips say, for consumers. */
export const bullmqPostgres: Contestant = { ...common, title: "BullMQ on PostgreSQL", store: "postgres", family: "bullmqPostgres" };

/** What is completed is removed: else every message of a run stays. */
const REMOVE = { removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } } as const;

function openQueue(store: Store, target: Target): { queue: Queue; close: () => Promise<void> } {
  if (store === "postgres") {
    const queue = new Queue(QUEUE, { connection: { connectionString: target.connectionString, max: 10 } }, createPostgresBackend);
    return { queue: queue as unknown as Queue, close: () => queue.close() };
  }
  const connection = connect(target);
  const queue = new Queue(QUEUE, { connection });
  const close = async (): Promise<void> => {
    await queue.close();
    connection.disconnect();
  };
  return { queue, close };
}

async function produce(store: Store, target: Target) {
  if (store === "postgres") await migrate(target.connectionString);
  const { queue, close } = openQueue(store, target);
  await queue.waitUntilReady();
  const jobOf = (data: BenchPayload) => ({ name: "bench", data });
  return {
    one: (payload: BenchPayload) => queue.add("bench", payload),
    many: (payloads: readonly BenchPayload[]) => queue.addBulk(payloads.map(jobOf)),
    close,
  };
}

async function prepare(store: Store, { target, settings, ledger, work }: DrainInput) {
  const { concurrency, sandbox, durable = false } = settings as unknown as BullSettings;
  const options = { concurrency, autorun: false, useWorkerThreads: sandbox === "threads", ...REMOVE } satisfies Partial<WorkerOptions>;
  const handle = handlerOf(work, ledger);
  const processor = sandbox === undefined ? async (job: { data: BenchPayload }): Promise<void> => handle(job.data) : PROCESSOR;
  const connection = store === "redis" ? connect(target) : undefined;
  const pool = store === "postgres" ? poolFor(target, durable) : undefined;
  const worker =
    pool === undefined
      ? new Worker(QUEUE, processor as never, { ...options, connection: connection as Redis })
      : new Worker(QUEUE, processor as never, { ...options, connection: pool as never }, createPostgresBackend);
  worker.on("error", (error: Error) => console.error("BullMQ:", error.message));
  worker.on("failed", (_job: unknown, error: Error) => console.error("BullMQ:", error.message));
  // What it runs elsewhere is counted when it says that it is done.
  if (sandbox !== undefined) worker.on("completed", (job: { data: BenchPayload }) => ledger.note(job.data.number));
  await worker.waitUntilReady();
  return {
    start() {
      worker.run().catch((error: Error) => console.error("BullMQ:", error.message));
      return Promise.resolve();
    },
    async stop() {
      await worker.close();
      connection?.disconnect();
      await pool?.end();
    },
  };
}

/** Workers block on their connection, so it must wait for as long as it takes. */
function connect({ redisUrl }: Target): Redis {
  if (redisUrl === undefined) throw new Error("there is no Redis");
  return new Redis(redisUrl, { maxRetriesPerRequest: null });
}

/** It says where its tables are in the options of a connection, where ours would take their place: a pool of ours says both. */
function poolFor({ connectionString }: Target, durable: boolean): pg.Pool {
  const options = `-c search_path=bullmq${durable ? "" : " -c synchronous_commit=off"}`;
  return new pg.Pool({ connectionString, max: 20, options, keepAlive: true });
}

async function migrate(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await runMigrations(client as never);
  await client.end();
}
