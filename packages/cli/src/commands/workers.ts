import { isReapable, type Messenger, type WorkerRow } from "@symphony/core";
import { defineCommand } from "../command.ts";
import { type Column, duration, plural, print, table } from "../output.ts";
import { chosenTransports, openSession, withMessenger } from "../session.ts";

export type WorkerOf = WorkerRow & { readonly transport: string };

/** The workers of the whole fleet, on the transports that know them. */
export async function listWorkers(messenger: Messenger, transports: readonly string[] = []): Promise<readonly WorkerOf[]> {
  const lists = chosenTransports(messenger, transports).map(async ([name, transport]) =>
    isReapable(transport) ? (await transport.listWorkers()).map((worker) => ({ transport: name, ...worker })) : [],
  );
  return (await Promise.all(lists)).flat();
}

export function workersTable(workers: readonly WorkerOf[], now: number): string {
  if (workers.length === 0) return "no workers";
  const columns: readonly Column<WorkerOf>[] = [
    { title: "WORKER", value: (worker) => worker.workerId },
    { title: "TRANSPORT", value: (worker) => worker.transport },
    { title: "HOST", value: (worker) => worker.hostname },
    { title: "PID", value: (worker) => worker.pid, align: "right" },
    { title: "QUEUES", value: (worker) => (worker.queues.length === 0 ? "all" : worker.queues.join(",")) },
    { title: "BUSY", value: (worker) => `${worker.inFlight}/${worker.slots}`, align: "right" },
    { title: "UP", value: (worker) => duration(now - Date.parse(worker.startedAt)), align: "right" },
    { title: "LAST BEAT", value: (worker) => `${duration(now - Date.parse(worker.lastBeatAt))} ago`, align: "right" },
  ];
  return table(columns, workers);
}

export const workers = defineCommand({
  usage: "workers",
  describe: "List the running workers of the fleet",
  remote: true,
  examples: [["symphony workers --json", "for scripts"]],
  async run(io, flags) {
    const session = await openSession(io, flags);
    const rows = await withMessenger(session, (messenger) => listWorkers(messenger));
    print(io, flags.json === true, { workers: rows }, () =>
      rows.length === 0 ? "no workers" : `${workersTable(rows, io.clock.now())}\n${plural(rows.length, "worker")}`,
    );
  },
});
