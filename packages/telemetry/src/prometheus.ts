import {
  DURATION_BUCKETS_S,
  type HistogramValue,
  type Labels,
  METRICS,
  type MetricDefinition,
  type MetricSeries,
  prometheusName,
} from "@symphony/core";

/**
 * Metrics in Prometheus' text format, version 0.0.4: `# HELP` and `# TYPE` once per metric, buckets cumulative. Metrics
 * without a series are left out; names that are not in `METRICS`, too.
 */
export function prometheusText(series: readonly MetricSeries[]): string {
  const byName = Map.groupBy(series, ({ name }) => name);
  const blocks: string[] = [];
  for (const definition of Object.values(METRICS)) {
    const found = byName.get(definition.name);
    if (found !== undefined) blocks.push(blockOf(definition, found));
  }
  return blocks.join("");
}

function blockOf(definition: MetricDefinition, series: readonly MetricSeries[]): string {
  const name = prometheusName(definition);
  const lines = [`# HELP ${name} ${definition.description}`, `# TYPE ${name} ${definition.kind}`];
  for (const { labels, value } of series) {
    if (typeof value === "number") lines.push(`${name}${braces(labels)} ${number(value)}`);
    else lines.push(...histogramLines(name, labels, value));
  }
  return `${lines.join("\n")}\n`;
}

function histogramLines(name: string, labels: Labels, { sum, counts }: HistogramValue): string[] {
  let count = 0;
  const buckets = counts.map((each, at) => {
    count += each;
    const le = at < DURATION_BUCKETS_S.length ? number(DURATION_BUCKETS_S[at] as number) : "+Inf";
    return `${name}_bucket${braces({ ...labels, le })} ${count}`;
  });
  return [...buckets, `${name}_sum${braces(labels)} ${number(sum)}`, `${name}_count${braces(labels)} ${count}`];
}

function braces(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name.replaceAll(".", "_")}="${quoted(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const quoted = (value: string): string => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
const number = (value: number): string => (Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : value < 0 ? "-Inf" : "NaN");
