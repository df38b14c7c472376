import { context, DiagLogLevel, diag, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ConsoleSpanExporter,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { onFlushTelemetry } from "@symphony/core";
import type { SamplerPlan, SignalPlan, TelemetryPlan } from "./environment.ts";
import { instrument } from "./instrument.ts";
import { withoutSecrets } from "./redact.ts";
import { describeResource } from "./resource.ts";
import { sayToLog } from "./say.ts";

/**
 * Registers the OpenTelemetry SDK in this process or thread, and the instrumentation of pg, http, fetch and pino, which
 * holds for modules that are loaded from now on. Spans wait in a queue of bounded size; when the collector is slow or
 * away, the newest are dropped and nothing else happens.
 */
export async function startTracing(plan: TelemetryPlan, signal: SignalPlan): Promise<void> {
  diag.setLogger(sayToLog(), DiagLogLevel.WARN);
  const { delayMs, timeoutMs, queue, batch } = plan.spans;
  const processor = new BatchSpanProcessor({
    exporter: withoutSecrets(await createExporter(signal)),
    scheduledDelayMillis: delayMs,
    exportTimeoutMillis: timeoutMs,
    maxQueueSize: queue,
    maxExportBatchSize: batch,
  });
  const provider = new TracerProvider({
    resource: describeResource(),
    sampler: createSampler(plan.sampler),
    spanProcessors: [processor],
    // What an instrumentation copies out of a statement or a header is cut.
    spanLimits: { attributeValueLengthLimit: 2_048 },
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }));
  trace.setGlobalTracerProvider(provider);
  onFlushTelemetry(() => provider.forceFlush());
  instrument();
}

async function createExporter({ exporter, protocol }: SignalPlan): Promise<SpanExporter> {
  if (exporter === "console") return new ConsoleSpanExporter();
  const { OTLPTraceExporter } =
    protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter();
}

function createSampler({ parentBased, ratio }: SamplerPlan): Sampler {
  const root = ratio >= 1 ? new AlwaysOnSampler() : ratio <= 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return parentBased ? new ParentBasedSampler({ root }) : root;
}
