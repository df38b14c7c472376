import { medianOf, type Standing } from "./compete.ts";
import type { Machine } from "./machine.ts";
import type { Ratio } from "./statistics.ts";
import { type Goal, isMet, type Section } from "./workload.ts";

export interface BenchResult {
  readonly machine: Machine;
  readonly at: string;
  readonly quick: boolean;
  readonly workloads: Readonly<Record<string, WorkloadResult>>;
}

export interface WorkloadResult {
  readonly title: string;
  readonly seconds: number;
  /** Over the last minute, before it and after it. */
  readonly load: readonly [before: number, after: number];
  readonly sections: readonly Section[];
  readonly failure?: string;
}

export const number = (value: number): string => {
  if (!Number.isFinite(value)) return "–";
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
};

/** A section for people: ratios first, because only they travel from one machine to another. */
export function sectionMarkdown(section: Section, plot?: string): string {
  const { title, about, figures, standings, goals, tables = [] } = section;
  const names = Object.keys(figures);
  return [
    `### ${title}`,
    "",
    about,
    ...(goals.length === 0 ? [] : ["", ...goalTable(goals)]),
    ...(plot === undefined ? [] : ["", `![${title}](${plot})`]),
    ...(standings.length === 0
      ? []
      : [
          "",
          `| contestant | settings | ${names.map((name) => figures[name]).join(" | ")} | runs |`,
          `|---|---|${"---:|".repeat(names.length + 1)}`,
          ...standings.map((standing) => standingRow(standing, names)),
        ]),
    ...tables.flatMap(({ title: heading, columns, rows }) => [
      "",
      `**${heading}**`,
      "",
      `| ${columns.join(" | ")} |`,
      `|---|${"---:|".repeat(columns.length - 1)}`,
      ...rows.map((row) => `| ${row.join(" | ")} |`),
    ]),
  ].join("\n");
}

function goalTable(goals: readonly Goal[]): string[] {
  return [
    "| ratio | median | min | max | goal | |",
    "|---|---:|---:|---:|---:|---|",
    ...goals.map((goal) => `| ${goal.text} | ${ratioCells(goal)} | ${goal.sense === ">=" ? "≥" : "≤"} ${goal.bound} | ${verdict(goal)} |`),
  ];
}

const verdict = (goal: Goal): string => {
  const met = isMet(goal);
  if (met === undefined) return "not measured";
  return met ? "met" : "**not met**";
};

function ratioCells({ seen, unit = "×" }: Goal): string {
  if (seen === undefined) return "– | – | –";
  const { median, min, max }: Ratio = seen;
  return [median, min, max].map((value) => `${value.toFixed(2)} ${unit}`).join(" | ");
}

function standingRow(standing: Standing, names: readonly string[]): string {
  const runs = standing.samples.filter((sample) => sample !== undefined).length;
  const cells = names.map((name) => number(medianOf(standing, name) ?? Number.NaN));
  const out = standing.failure === undefined ? "" : ` (out: ${standing.failure})`;
  return `| ${standing.title} | ${standing.label}${out} | ${cells.join(" | ")} | ${runs} |`;
}

export function machineMarkdown({ machine, at, workloads }: BenchResult): string {
  const list = (values: Readonly<Record<string, string>>, join: string): string =>
    Object.entries(values)
      .map(([name, value]) => `${name}${join}${value === "" ? '""' : value}`)
      .join(", ");
  const loads = Object.values(workloads).flatMap(({ load }) => load[0]);
  return [
    `${at.slice(0, 10)}: ${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, ${machine.system}; load average before the workloads ${Math.min(...loads)} to ${Math.max(...loads)}.`,
    `Node ${machine.node}; PostgreSQL ${machine.postgres} (${list(machine.settings, "=")}); ${machine.redis}; ${list(machine.versions, " ")}.`,
    "Rates are of this machine at this moment; compare ratios. Medians, ratios within pairs of runs that stood next to each other. A run in which a message is lost or repeated is rejected.",
  ].join(" ");
}

export function markdown(result: BenchResult, plots: ReadonlyMap<string, string> = new Map()): string {
  const sections = Object.values(result.workloads).flatMap(({ sections: all, failure, title }) =>
    failure === undefined
      ? all.map((section) => sectionMarkdown(section, plots.get(section.id)))
      : [`### ${title}\n\nNot measured: ${failure}.`],
  );
  return [machineMarkdown(result), ...sections].join("\n\n");
}

const VERDICTS = new Map([
  [true, "met    "],
  [false, "NOT MET"],
  [undefined, "unknown"],
]);

/** All goals of a result, one line each. */
export function goalLines({ workloads }: Pick<BenchResult, "workloads">): string[] {
  return Object.values(workloads).flatMap(({ sections }) =>
    sections.flatMap(({ title, goals }) =>
      goals.map((goal) => {
        const seen =
          goal.seen === undefined ? "–" : `${goal.seen.median.toFixed(2)} (${goal.seen.min.toFixed(2)} to ${goal.seen.max.toFixed(2)})`;
        return `${VERDICTS.get(isMet(goal))} ${title}: ${goal.text}: ${seen}, goal ${goal.sense} ${goal.bound}`;
      }),
    ),
  );
}
