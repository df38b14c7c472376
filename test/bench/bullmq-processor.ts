import { burn } from "./work.ts";

/** A sandboxed processor: BullMQ loads it in child processes or threads of its own. Its operations come with the environment. */
const operations = Number(process.env.SYMPHONY_BENCH_OPERATIONS ?? 0);

// biome-ignore lint/style/noDefaultExport: it is what BullMQ runs.
export default function processor(): Promise<void> {
  burn(operations);
  return Promise.resolve();
}
