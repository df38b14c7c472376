import { isCountable, isPausable, type Messenger, OptionsError, type Pause, type QueueCounts, type ScheduleView } from "@symphony/core";
import { defineCommand, text, toggle } from "../command.ts";
import { UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { type Column, duration, plural, print, table } from "../output.ts";
import { scheduleDeskOf } from "../schedule-desk.ts";
import { chosenTransports, openSession, withMessenger } from "../session.ts";
import { schedulesTable } from "./schedule/list.ts";
import { listWorkers, type WorkerOf, workersTable } from "./workers.ts";

interface QueueRow extends QueueCounts {
  readonly transport: string;
  readonly paused: boolean;
  /** Types that are paused in it. */
  readonly pausedTypes: readonly string[];
}

interface Status {
  readonly queues: readonly QueueRow[];
  readonly workers: readonly WorkerOf[];
  readonly schedules: readonly ScheduleView[];
  /** Transports that cannot count. */
  readonly uncountable: readonly string[];
  /** RFC 3339 */
  readonly timestamp: string;
}

async function readStatus(messenger: Messenger, transports: readonly string[], now: number): Promise<Status> {
  const chosen = chosenTransports(messenger, transports);
  const counts = chosen.map(async ([name, transport]): Promise<readonly QueueRow[]> => {
    if (!isCountable(transport)) return [];
    const [all, pauses] = await Promise.all([transport.getCounts(), isPausable(transport) ? transport.listPauses() : []]);
    return all.map((count) => ({ transport: name, ...count, ...pausesOf(count.queue, pauses) }));
  });
  const [queues, workers, schedules] = await Promise.all([
    Promise.all(counts),
    listWorkers(messenger, transports),
    scheduleDeskOf(messenger).list(1),
  ]);
  return {
    queues: queues.flat(),
    workers,
    schedules: schedules.filter(({ transport }) => chosen.some(([name]) => name === transport)),
    uncountable: chosen.filter(([, transport]) => !isCountable(transport)).map(([name]) => name),
    timestamp: new Date(now).toISOString(),
  };
}

function pausesOf(queue: string, pauses: readonly Pause[]): Pick<QueueRow, "paused" | "pausedTypes"> {
  const own = pauses.filter((pause) => pause.queue === queue);
  return { paused: own.some((pause) => pause.type === undefined), pausedTypes: own.flatMap((pause) => pause.type ?? []) };
}

const stateOf = ({ paused, pausedTypes }: QueueRow): string =>
  [...(paused ? ["paused"] : []), ...(pausedTypes.length === 0 ? [] : [`paused: ${pausedTypes.join(", ")}`])].join("; ");

// An estimate says so, in the one place where a person would take it for a count.
const counted = (row: QueueRow, n: number): string => (row.accuracy === "estimated" ? `~${n}` : String(n));

const COLUMNS: readonly Column<QueueRow>[] = [
  { title: "TRANSPORT", value: (row) => row.transport },
  { title: "QUEUE", value: (row) => row.queue },
  { title: "READY", value: (row) => counted(row, row.ready), align: "right" },
  { title: "SCHEDULED", value: (row) => counted(row, row.scheduled), align: "right" },
  { title: "ACTIVE", value: (row) => row.active, align: "right" },
  { title: "FAILED", value: (row) => counted(row, row.failed), align: "right" },
  { title: "COMPLETED", value: (row) => row.completed, align: "right" },
  { title: "OLDEST", value: (row) => (row.oldestReadyAgeMs === null ? "-" : duration(row.oldestReadyAgeMs)), align: "right" },
];

/** Shown when there is something to show. */
const STATE: Column<QueueRow> = { title: "STATE", value: stateOf };

function toText(status: Status): string {
  const columns = status.queues.some((row) => stateOf(row) !== "") ? [...COLUMNS, STATE] : COLUMNS;
  const queues = status.queues.length === 0 ? "no queues" : table(columns, status.queues);
  const uncountable = status.uncountable.map((name) => `${name}: cannot count`);
  const title = plural(status.workers.length, "worker");
  const workers = status.workers.length === 0 ? [title] : [title, workersTable(status.workers, Date.parse(status.timestamp))];
  return [queues, ...uncountable, "", ...workers, ...schedulesText(status.schedules)].join("\n");
}

/** Those that somebody has to look at; the others are in `symphony schedule list`. */
function schedulesText(schedules: readonly ScheduleView[]): readonly string[] {
  if (schedules.length === 0) return [];
  const wrong = schedules.filter(({ status: state }) => state === "overdue" || state === "failing");
  const title = `${plural(schedules.length, "schedule")}, ${wrong.length === 0 ? "none overdue" : `${wrong.length} overdue or failing`}`;
  return ["", title, ...(wrong.length === 0 ? [] : [schedulesTable(wrong)])];
}

/** Seconds. */
const DEFAULT_INTERVAL_S = 2;

async function watch(io: Io, intervalMs: number, show: () => Promise<void>): Promise<void> {
  while (!io.signal.aborted) {
    // Cursor home and clear, as `watch` does; a file or pipe gets one block after the other.
    if (io.outIsTerminal) io.out("\u001b[H\u001b[2J");
    await show();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel();
        io.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = io.clock.schedule(intervalMs, done);
      io.signal.addEventListener("abort", done);
    });
  }
}

function intervalMs(seconds: string | undefined): number {
  const value = Number(seconds ?? DEFAULT_INTERVAL_S);
  if (!(value >= 0.1 && value <= 3_600))
    throw new UsageError(new OptionsError("--interval", seconds, "must be 0.1 to 3600 seconds").message);
  return value * 1_000;
}

export const status = defineCommand({
  usage: "status [transports..]",
  describe: "Show queues, workers, and schedules that did not run",
  remote: true,
  options: { watch: toggle("Repeat until interrupted"), interval: text(`Seconds between two looks with --watch (${DEFAULT_INTERVAL_S})`) },
  positionals: (yargs) => yargs.positional("transports", { type: "string", array: true, describe: "Only these" }),
  examples: [
    ["symphony status", "one look"],
    ["symphony status --watch --interval 5", "a look every five seconds"],
    ["symphony status --json | jq '.queues[] | select(.failed > 0)'", "for scripts"],
  ],
  async run(io, flags) {
    const every = intervalMs(flags.interval);
    const session = await openSession(io, flags);
    await withMessenger(session, async (messenger) => {
      const show = async (): Promise<void> => {
        const now = await readStatus(messenger, (flags.transports as string[] | undefined) ?? [], io.clock.now());
        print(io, flags.json === true, now, () => toText(now));
      };
      await (flags.watch ? watch(io, every, show) : show());
    });
  },
});
