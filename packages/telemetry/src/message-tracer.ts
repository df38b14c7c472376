import { randomBytes } from "node:crypto";
import {
  type Context,
  context,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { type InstrumentationScope, isTracingSuppressed } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import { type Sampler, SamplingDecision, type SpanProcessor } from "@opentelemetry/sdk-trace";
import { MessageSpan } from "./message-span.ts";

/** Characters of the ids. */
const [TRACE_ID, SPAN_ID] = [32, 16];
const RANDOM_BYTES = 2_048;

let digits = "";
let used = 0;

/** Random hexadecimal digits, from many that were written down at once: one by one, they are a third of a span's beginning. */
function randomId(length: number): string {
  if (used + length > digits.length) {
    digits = randomBytes(RANDOM_BYTES).toString("hex");
    used = 0;
  }
  used += length;
  return digits.slice(used - length, used);
}

export interface MessageTracerOptions {
  readonly scope: InstrumentationScope;
  readonly resource: Resource;
  readonly sampler: Sampler;
  readonly processor: SpanProcessor;
}

/**
 * The tracer of the library's own spans. The SDK's checks and copies what it is given, counts what it does, and asks two
 * clocks per span: for spans that are known to be well-formed, on the way of every message that is kept, that is most of
 * what they cost. Here a span is a few fields until it is exported.
 */
export class MessageTracer implements Tracer {
  readonly #o: MessageTracerOptions;

  constructor(options: MessageTracerOptions) {
    this.#o = options;
  }

  startSpan(name: string, options: SpanOptions = {}, active: Context = context.active()): Span {
    const within = options.root === true ? trace.deleteSpan(active) : active;
    const given = trace.getSpanContext(within);
    const parent = given !== undefined && trace.isSpanContextValid(given) ? given : undefined;
    const { kind = SpanKind.INTERNAL, attributes = {}, links = [] } = options;
    const traceId = parent?.traceId ?? randomId(TRACE_ID);
    const { decision, traceState = parent?.traceState } = this.#o.sampler.shouldSample(within, traceId, name, kind, attributes, links);
    const isKept = decision === SamplingDecision.RECORD_AND_SAMPLED && !isTracingSuppressed(within);
    const own: SpanContext = {
      traceId,
      spanId: randomId(SPAN_ID),
      traceFlags: isKept ? TraceFlags.SAMPLED : TraceFlags.NONE,
      ...(traceState === undefined ? {} : { traceState }),
    };
    if (!isKept) return trace.wrapSpanContext(own);
    return new MessageSpan(this.#o, { name, kind, own, parent, attributes, links, start: options.startTime });
  }

  startActiveSpan<T>(name: string, ...rest: readonly unknown[]): T {
    const work = rest.at(-1) as (span: Span) => T;
    const [options, within = context.active()] = rest.slice(0, -1) as [SpanOptions?, Context?];
    const span = this.startSpan(name, options, within);
    return context.with(trace.setSpan(within, span), () => work(span));
  }
}
