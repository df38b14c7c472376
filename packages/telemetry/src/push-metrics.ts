import { ValueType } from "@opentelemetry/api";
import { hrTime } from "@opentelemetry/core";
import {
  AggregationTemporality,
  ConsoleMetricExporter,
  type DataPoint,
  DataPointType,
  type Histogram,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import { DURATION_BUCKETS_S, type HistogramValue, METRICS, type MetricSeries, systemClock } from "@symphony/core";
import type { SignalPlan, TelemetryPlan } from "./environment.ts";
import { SCHEMA_URL } from "./names.ts";
import { describeResource } from "./resource.ts";

type Instant = DataPoint<number>["startTime"];

/** The other way for metrics to leave: pushed to a collector, every `OTEL_METRIC_EXPORT_INTERVAL` and once at the end. */
export interface MetricPush {
  /** Sends the last values, if the collector takes them in time. Never rejects. */
  stop(): Promise<void>;
}

/** Milliseconds for the last push: a collector that is away must not hold the end up. */
const LAST_PUSH_MS = 400;

export async function pushMetrics(
  plan: TelemetryPlan,
  signal: SignalPlan,
  read: () => Promise<readonly MetricSeries[]>,
): Promise<MetricPush> {
  const startedAt = hrTime();
  const collect = async () => ({
    resourceMetrics: {
      resource: describeResource(),
      scopeMetrics: [
        { scope: { name: "@symphony/core", schemaUrl: SCHEMA_URL }, metrics: toMetricData(await read(), startedAt, hrTime()) },
      ],
    },
    errors: [],
  });
  const reader = new PeriodicExportingMetricReader({
    exporter: await createExporter(signal),
    exportIntervalMillis: plan.metricIntervalMs,
    exportTimeoutMillis: Math.min(plan.metricIntervalMs, 30_000),
    metricProducers: [{ collect }],
  });
  const provider = new MeterProvider({ resource: describeResource(), readers: [reader] });
  return {
    stop: async () => {
      const late = Promise.withResolvers<void>();
      const timer = systemClock.schedule(LAST_PUSH_MS, late.resolve);
      await Promise.race([provider.shutdown({ timeoutMillis: LAST_PUSH_MS }).catch(() => undefined), late.promise]);
      timer.cancel();
    },
  };
}

async function createExporter({ exporter, protocol }: SignalPlan): Promise<PushMetricExporter> {
  if (exporter === "console") return new ConsoleMetricExporter();
  switch (protocol) {
    case "grpc":
      return new (await import("@opentelemetry/exporter-metrics-otlp-grpc")).OTLPMetricExporter();
    case "http/json":
      return new (await import("@opentelemetry/exporter-metrics-otlp-http")).OTLPMetricExporter();
    case "http/protobuf":
      return new (await import("@opentelemetry/exporter-metrics-otlp-proto")).OTLPMetricExporter();
  }
}

/** Pure. Our series as the SDK's exporters take them; sums and histograms are cumulative. */
function toMetricData(series: readonly MetricSeries[], startTime: Instant, endTime: Instant): MetricData[] {
  const byName = Map.groupBy(series, ({ name }) => name);
  return Object.values(METRICS).flatMap((definition): MetricData[] => {
    const found = byName.get(definition.name);
    if (found === undefined) return [];
    const { name, description, unit, kind } = definition;
    const base = {
      descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
    };
    const points = <T>(pick: (value: MetricSeries["value"]) => T): DataPoint<T>[] =>
      found.map(({ labels, value }) => ({ startTime, endTime, attributes: labels, value: pick(value) }));
    if (kind === "histogram")
      return [{ ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints: points((value) => toHistogram(value as HistogramValue)) }];
    const dataPoints = points((value) => value as number);
    if (kind === "gauge") return [{ ...base, dataPointType: DataPointType.GAUGE, dataPoints }];
    return [{ ...base, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }];
  });
}

function toHistogram({ sum, counts }: HistogramValue): Histogram {
  return {
    buckets: { boundaries: [...DURATION_BUCKETS_S], counts: [...counts] },
    sum,
    count: counts.reduce((total, each) => total + each, 0),
  };
}
