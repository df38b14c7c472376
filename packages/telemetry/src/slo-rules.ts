import { ATTRIBUTES, METRICS, prometheusName } from "./names.ts";

/** A message type with an objective for the start of its messages. */
export interface SloType {
  readonly name: string;
  readonly queue: string;
  readonly slo: { readonly startWithinMs: number; readonly objective: number };
}

/** Windows of which two must agree, and how much faster than allowed the budget burns: from the workbook of site reliability. */
const BURNS = [
  {
    alert: "SymphonyStartSloBurnFast",
    long: "1h",
    short: "5m",
    factor: 14.4,
    for: "2m",
    severity: "critical",
    page: "age-budget-burn-fast",
  },
  { alert: "SymphonyStartSloBurnSlow", long: "6h", short: "30m", factor: 6, for: "15m", severity: "warning", page: "age-budget-burn-slow" },
] as const;
const WINDOWS = ["5m", "30m", "1h", "6h"] as const;
const QUEUE = label(ATTRIBUTES.destinationName);
const TYPE = label(ATTRIBUTES.messageType);

/**
 * Pure. Recording and alert rules for Prometheus, as YAML: how much of the time messages of a type start too late, and
 * alerts when that uses up the budget too fast. A type is late while the oldest ready message of its queue has waited for
 * longer than `startWithinMs`, so a queue that nobody consumes is late as well.
 */
export function sloRules(types: readonly SloType[]): string {
  const rules = types.flatMap((type) => [
    ...WINDOWS.map((window) => recordingOf(type, window)),
    ...BURNS.map((burn) => alertOf(type, burn)),
  ]);
  const groups = rules.length === 0 ? " []" : `\n  - name: symphony-slo\n    rules:\n${rules.join("\n")}`;
  return `# Made by \`symphony slo rules\` from the objectives of the message types. Make it anew when they change.\ngroups:${groups}\n`;
}

const recordOf = (window: string): string => `symphony:start_late:ratio_${window}`;

function recordingOf({ name, queue, slo }: SloType, window: string): string {
  const age = `max by (${QUEUE}) (${prometheusName(METRICS.queueOldestAge)}{${QUEUE}=${quoted(queue)}})`;
  return rule({
    record: recordOf(window),
    expr: `1 - avg_over_time((${age} <= bool ${slo.startWithinMs / 1_000})[${window}:1m])`,
    labels: { [TYPE]: name },
  });
}

function alertOf({ name, queue, slo }: SloType, burn: (typeof BURNS)[number]): string {
  // Of floating point numbers only what matters: 14.4 * (1 - 0.999) has fifteen digits too many.
  const limit = Number((burn.factor * (1 - slo.objective)).toPrecision(6));
  const over = (window: string): string => `${recordOf(window)}{${TYPE}=${quoted(name)}} > ${limit}`;
  const percent = Number((slo.objective * 100).toPrecision(6));
  return rule({
    alert: burn.alert,
    expr: `${over(burn.long)} and ${over(burn.short)}`,
    for: burn.for,
    labels: { severity: burn.severity },
    annotations: {
      summary: `${name} in ${queue} burns its budget ${burn.factor} times too fast (${percent} % start within ${slo.startWithinMs} ms)`,
      runbook: `docs/runbooks/${burn.page}.md`,
    },
  });
}

type Fields = Readonly<Record<string, string | Readonly<Record<string, string>>>>;

/** JSON strings are YAML strings. */
function rule(fields: Fields): string {
  const lines = Object.entries(fields).flatMap(([key, value]) =>
    typeof value === "string"
      ? [`${key}: ${quoted(value)}`]
      : [`${key}:`, ...Object.entries(value).map(([name, text]) => `  ${name}: ${quoted(text)}`)],
  );
  return lines.map((line, at) => `${at === 0 ? "      - " : "        "}${line}`).join("\n");
}

function label(attribute: string): string {
  return attribute.replaceAll(".", "_");
}

const quoted = (text: string): string => JSON.stringify(text);
