import { type Context, context, DiagLogLevel, diag, propagation, trace } from "@opentelemetry/api";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ConsoleSpanExporter,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { CHOSEN, decideRoots, onFlushTelemetry, systemRuntime, TRACER_SCOPE } from "@symphony/core";
import { AttemptContexts } from "./attempt-contexts.ts";
import type { SamplerPlan, SignalPlan, TelemetryPlan } from "./environment.ts";
import { instrument } from "./instrument.ts";
import { MessageTracer } from "./message-tracer.ts";
import { SCHEMA_URL } from "./names.ts";
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
  const [resource, sampler] = [describeResource(), createSampler(plan.sampler)];
  const provider = new TracerProvider({
    resource,
    sampler,
    spanProcessors: [processor],
    // What an instrumentation copies out of a statement or a header is cut.
    spanLimits: { attributeValueLengthLimit: 2_048 },
  });
  const contexts = new AttemptContexts();
  context.setGlobalContextManager(contexts.enable());
  propagation.setGlobalPropagator(new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }));
  const own = new MessageTracer({ scope: { name: TRACER_SCOPE, schemaUrl: SCHEMA_URL }, resource, sampler, processor });
  trace.setGlobalTracerProvider({ getTracer: (name, ...rest) => (name === TRACER_SCOPE ? own : provider.getTracer(name, ...rest)) });
  onFlushTelemetry(() => provider.forceFlush());
  const { parentBased, ratio } = plan.sampler;
  if (parentBased) decideRoots({ keep: () => ratio >= 1 || systemRuntime.random() < ratio, isOutside: () => contexts.isOutside() });
  instrument();
}

async function createExporter({ exporter, protocol }: SignalPlan): Promise<SpanExporter> {
  if (exporter === "console") return new ConsoleSpanExporter();
  switch (protocol) {
    case "grpc":
      return new (await import("@opentelemetry/exporter-trace-otlp-grpc")).OTLPTraceExporter();
    case "http/json":
      return new (await import("@opentelemetry/exporter-trace-otlp-http")).OTLPTraceExporter();
    case "http/protobuf":
      return (await import("./protobuf-exporter.ts")).createProtobufExporter();
  }
}

function createSampler({ parentBased, ratio }: SamplerPlan): Sampler {
  const root = ratio >= 1 ? new AlwaysOnSampler() : ratio <= 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio);
  return parentBased ? new ParentBasedSampler({ root: new AfterCore(root) }) : root;
}

/** Keeps the traces that core has chosen to begin; asks another one about the rest. */
class AfterCore implements Sampler {
  readonly #otherwise: Sampler;

  constructor(otherwise: Sampler) {
    this.#otherwise = otherwise;
  }

  shouldSample(within: Context, ...about: Tail<Parameters<Sampler["shouldSample"]>>): SamplingResult {
    if (within.getValue(CHOSEN) === true) return { decision: SamplingDecision.RECORD_AND_SAMPLED };
    return this.#otherwise.shouldSample(within, ...about);
  }

  toString(): string {
    return this.#otherwise.toString();
  }
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;
