import { compete, type Entry } from "../compete.ts";
import type { Settings } from "../contestant.ts";
import type { Context } from "../context.ts";
import { drain } from "../measure.ts";
import { calibrate, type Work } from "../work.ts";
import { goal, type Section, type Workload } from "../workload.ts";
import { sampleOf } from "./drains.ts";

interface Who {
  readonly key: string;
  readonly name: string;
  readonly title: string;
  readonly label: string;
  readonly settings: Settings;
}

function entriesOf(context: Context, whos: readonly Who[], count: number, work: Work): Entry[] {
  const env = work.kind === "cpu" ? { SYMPHONY_BENCH_OPERATIONS: String(work.operations) } : {};
  return whos
    .filter(({ name }) => context.only === undefined || ["ours", "threads", ...context.only].includes(name))
    .map(({ key, name, title, label, settings }) => ({
      key,
      title,
      label,
      run: async () => sampleOf(await drain(context, { name, settings, count, work, child: { env } }), count),
    }));
}

const threads = (count: number): Settings => ({
  execution: "thread",
  threads: count,
  worker: { batchSize: 20, maxConcurrency: 2 * count },
});

const CPU: readonly Who[] = [
  { key: "two", name: "threads", title: "Symphony Messenger", label: "2 threads", settings: threads(2) },
  { key: "one", name: "threads", title: "Symphony Messenger", label: "1 thread", settings: threads(1) },
  {
    key: "processes",
    name: "bullmq",
    title: "BullMQ, sandboxed",
    label: "2 processes",
    settings: { concurrency: 2, sandbox: "processes" },
  },
  { key: "sandbox", name: "bullmq", title: "BullMQ, sandboxed", label: "2 threads", settings: { concurrency: 2, sandbox: "threads" } },
];

async function cpu(context: Context): Promise<readonly Section[]> {
  const operations = calibrate(5);
  const count = context.quick ? 200 : 600;
  const standings = await compete(context, entriesOf(context, CPU, count, { kind: "cpu", operations }), { pairs: 3, budgetMs: 50_000 });
  const goals = [
    goal("2 threads over 1", standings, ["two", "one"], 1.9),
    goal("over BullMQ's sandboxed processes", standings, ["two", "processes"], 1),
    goal("over BullMQ's sandboxed threads", standings, ["two", "sandbox"], 1),
  ];
  const about = `Handlers that compute for 5 ms of an idle core (${operations} operations, the same for all), ${count} messages. The consuming process, the store and the bench share the same cores.`;
  const figures = { perSecond: "messages/s", cpuUs: "CPU per message, process (µs)" };
  return [{ id: "cpu", title: "CPU-bound handlers", about, figure: "perSecond", figures, standings, goals }];
}

const IO: readonly Who[] = [
  {
    key: "inline",
    name: "ours",
    title: "Symphony Messenger, inline",
    label: "concurrency 200",
    settings: { execution: "inline", threads: 1, worker: { batchSize: 200, maxConcurrency: 200 } },
  },
  {
    key: "threads",
    name: "threads",
    title: "Symphony Messenger, threads",
    label: "2 threads, concurrency 200",
    settings: { execution: "thread", threads: 2, worker: { batchSize: 200, maxConcurrency: 200 } },
  },
  {
    key: "pgboss",
    name: "pgboss",
    title: "pg-boss",
    label: "batch 20, localConcurrency 10",
    settings: {
      work: { batchSize: 20, localConcurrency: 10, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, includeMetadata: false },
    },
  },
  {
    key: "graphile",
    name: "graphile",
    title: "graphile-worker",
    label: "200 jobs, local queue 500",
    settings: { concurrentJobs: 200, maxPoolSize: 10, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  },
  { key: "bullmq", name: "bullmq", title: "BullMQ on Redis", label: "concurrency 200", settings: { concurrency: 200 } },
];

async function io(context: Context): Promise<readonly Section[]> {
  const count = context.quick ? 2_000 : 8_000;
  const standings = await compete(context, entriesOf(context, IO, count, { kind: "io", ms: 50 }), { pairs: 3, budgetMs: 60_000 });
  const goals = [
    goal("inline, over graphile-worker", standings, ["inline", "graphile"], 1),
    goal("inline, over BullMQ on Redis", standings, ["inline", "bullmq"], 1),
  ];
  const about = `Handlers that wait for 50 ms, 200 at a time, ${count} messages: 4,000 a second is what the slots allow.`;
  const figures = { perSecond: "messages/s", cpuUs: "CPU per message, process (µs)", serverUs: "server (µs)" };
  return [{ id: "io", title: "Slow I/O handlers", about, figure: "perSecond", figures, standings, goals }];
}

export const cpuBound: Workload = { name: "cpu", title: "CPU-bound handlers", seconds: 60, run: cpu };
export const slowIo: Workload = { name: "io", title: "slow I/O handlers", seconds: 70, run: io };
