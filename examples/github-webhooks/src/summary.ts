import type { Accounts, TypeAccount } from "./accounting.ts";
import { milliseconds } from "./progress.ts";
import { box, type Palette, padEnd, padStart } from "./terminal.ts";

/** What the summary tells beside the accounts. */
export interface RunReport {
  readonly accounts: Accounts;
  readonly elapsedMs: number;
  readonly repositories: number;
  readonly latencyMs: readonly [p50: number, p95: number, p99: number] | null;
  /** Failed attempts by reason, as the subscribers and the dead letters tell them. */
  readonly failures: readonly (readonly [reason: string, times: number])[];
  /** What stays in the dead-letter queues, by reason and error. */
  readonly deadLetters: readonly (readonly [reason: string, times: number])[];
  /** Times that the worker was killed on purpose. */
  readonly kills: number;
  readonly repeatedDeliveries: number;
}

const COLUMNS = [
  { title: "message", width: 22 },
  { title: "dispatched", width: 12 },
  { title: "handled", width: 10 },
  { title: "after redrive", width: 15 },
  { title: "dead-lettered", width: 15 },
] as const;
const WIDTH = 78;

/** The end of a run: what became of every message, and whether the numbers add up. Pure. */
export function renderSummary(report: RunReport, palette: Palette): string {
  const { accounts } = report;
  const rows = [...accounts.types, accounts.total];
  const facts = [
    `${rows.at(-1)?.handled ?? 0} messages handled in ${milliseconds(report.elapsedMs)}, ${report.repositories} repositories summarised`,
    ...(report.latencyMs === null
      ? []
      : [
          `from webhook to activity row: half within ${milliseconds(report.latencyMs[0])}, 99 % within ${milliseconds(report.latencyMs[2])}`,
        ]),
    `failed attempts: ${list(report.failures)}`,
    `dead letters that stay: ${list(report.deadLetters)}`,
    ...(report.kills > 0
      ? [`worker killed ${report.kills} times; webhooks that reached a subscriber twice: ${report.repeatedDeliveries}`]
      : []),
  ];
  const checks = accounts.checks.map(({ claim, left, right, holds }) =>
    holds
      ? `${palette.green("✓")} ${claim} ${palette.dim(`(${left})`)}`
      : `${palette.red("✗")} ${claim}: ${palette.red(`${left} ≠ ${right}`)}`,
  );
  const verdict = accounts.addUp ? palette.green("Every message is accounted for.") : palette.red("The numbers do not add up.");
  return [
    ...box("Summary", table(rows, palette), WIDTH, palette),
    "",
    ...facts.map((fact) => `  ${fact}`),
    "",
    ...checks.map((check) => `  ${check}`),
    "",
    `  ${verdict}`,
    "",
  ].join("\n");
}

function table(rows: readonly TypeAccount[], palette: Palette): string[] {
  const line = (values: readonly string[]): string =>
    values.map((value, i) => (i === 0 ? padEnd(value, COLUMNS[0].width) : padStart(value, COLUMNS[i]?.width ?? 0))).join("");
  const cells = rows.map((row) => [row.type, ...[row.dispatched, row.handled, row.afterRedrive, row.deadLettered].map(String)]);
  const [head, ...body] = [COLUMNS.map(({ title }) => title), ...cells].map(line);
  const total = body.pop();
  return [palette.dim(head ?? ""), ...body, palette.bold(total ?? "")];
}

const list = (entries: readonly (readonly [string, number])[]): string =>
  entries.length === 0 ? "none" : entries.map(([what, times]) => `${times} × ${what}`).join(", ");
