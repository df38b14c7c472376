import { OptionsError, type ScheduleView } from "@symphony/core";
import { defineCommand, text } from "../../command.ts";
import { UsageError } from "../../exit-codes.ts";
import { type Column, duration, print, table } from "../../output.ts";
import { scheduleDeskOf } from "../../schedule-desk.ts";
import { openSession, withMessenger, withoutAutoSetup } from "../../session.ts";

const DEFAULT_RUNS = 1;
const MOST_RUNS = 100;

const moment = (time: string | null): string => time?.replace(/\.000Z$/, "Z") ?? "-";
const stateOf = (row: ScheduleView): string => {
  const late = row.overdueMs > 0 ? ` by ${duration(row.overdueMs)}` : "";
  return `${row.status}${late}${row.isConfigured ? "" : " (not in this configuration)"}`;
};

const COLUMNS: readonly Column<ScheduleView>[] = [
  { title: "SCHEDULE", value: (row) => row.name },
  { title: "TRIGGER", value: (row) => row.triggerInWords },
  { title: "MESSAGE", value: (row) => row.type },
  { title: "STATE", value: stateOf },
  { title: "NEXT RUN", value: (row) => (row.nextRunsAt.length === 0 ? "-" : row.nextRunsAt.map(moment).join(" ")) },
  { title: "LAST RUN", value: (row) => moment(row.lastRunAt) },
  { title: "RUNS", value: (row) => row.runs, align: "right" },
  { title: "MISSED", value: (row) => row.missed, align: "right" },
];

export function schedulesTable(rows: readonly ScheduleView[]): string {
  const failures = rows.flatMap((row) => (row.lastError === null ? [] : [`${row.name} fails: ${row.lastError}`]));
  return [table(COLUMNS, rows), ...failures].join("\n");
}

function parseRuns(given: string | undefined): number {
  const runs = Number(given ?? DEFAULT_RUNS);
  if (Number.isInteger(runs) && runs >= 1 && runs <= MOST_RUNS) return runs;
  throw new UsageError(new OptionsError("--next", given, `must be an integer from 1 to ${MOST_RUNS}`).message);
}

export const list = defineCommand({
  usage: "list",
  describe: "List schedules with their trigger, state, next and last run",
  remote: true,
  options: { next: text(`So many next runs of each (${DEFAULT_RUNS})`) },
  examples: [
    ["symphony schedule list --next 5", "with the next five runs, time zone and jitter included"],
    ["symphony schedule list --json | jq '.schedules[] | select(.overdueMs > 0)'", "those that did not run in time"],
  ],
  async run(io, flags) {
    const nextRuns = parseRuns(flags.next);
    const session = await openSession(io, flags);
    const schedules = await withMessenger(
      session,
      (messenger) => scheduleDeskOf(messenger).list(nextRuns),
      withoutAutoSetup(session.loaded.config),
    );
    print(io, flags.json === true, { schedules }, () => (schedules.length === 0 ? "no schedules" : schedulesTable(schedules)));
  },
});
