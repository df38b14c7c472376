import { getEnvironmentData } from "node:worker_threads";
import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
import { countPosts } from "./count-posts.ts";
import { Ledger } from "./ledger.ts";
import { type BenchEnvironment, ENVIRONMENT_KEY, QUEUE, queueName } from "./ours-names.ts";
import { handlerOf } from "./work.ts";

const environment = getEnvironmentData(ENVIRONMENT_KEY) as unknown as BenchEnvironment;
const { dsn, execution, work, queues, posts, options } = environment;
if (posts !== undefined) countPosts(posts);
const handle = handlerOf(work, new Ledger(environment.ledger));

export const Bench = defineMessage<never>("bench.drain", { queue: QUEUE });

const handler = defineHandler(Bench, (payload) => handle(payload), { execution, name: "bench" });
/** They make their queues known. */
const others = Array.from({ length: queues - 1 }, (_, i) => {
  const type = defineMessage<never>(`bench.drain.${i + 1}`, { queue: queueName(i + 1) });
  return defineHandler(type, (payload) => handle(payload), { execution, name: `bench-${i + 1}` });
});

export default defineConfig({
  // As the others: what a crash of the server undoes is done again.
  transports: { default: { dsn, options: { synchronousCommit: "off", ...options } } },
  handlers: [handler, ...others],
});
