import {
  type Context,
  context,
  createContextKey,
  type Link,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { Envelope } from "../envelope.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import { attemptOf, headers, messageId, queueName, redelivery } from "../stamps.ts";
import type { Received } from "../transport.ts";
import { errorTypeOf } from "./error-type.ts";
import { ATTRIBUTES, OPERATIONS, SCHEMA_URL, spanName, TRACER_SCOPE } from "./names.ts";
import { AttemptSpan, baseAttributes, type Carrier, fail, messageAttributes, type ProcessSpan, QueueSpans } from "./process-span.ts";
import { CHOSEN, isSampled, rootSampling, UnsampledAttempt, UnsampledContext } from "./sampling.ts";

interface BatchItem {
  readonly type: { readonly queue: string };
  readonly options?: { readonly queue?: string };
}

const { send, create, receive, process: handle } = OPERATIONS;
/** Links of one span at most, as the SDK keeps them by default. */
const MAX_LINKS = 128;

/**
 * Spans of what happens to messages, through the OpenTelemetry API. There is one of these only where somebody has
 * registered an SDK: without one nothing is made per message.
 *
 * Neither payloads nor what errors say are put into spans.
 */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #roots = rootSampling();
  readonly #queues = new Map<string, QueueSpans>();

  private constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** Undefined when no SDK is registered at this moment: ask once, when the program is set up. */
  static find(): Tracing | undefined {
    const provider = trace.getTracerProvider();
    const tracer =
      provider instanceof ProxyTracerProvider
        ? provider.getDelegateTracer(TRACER_SCOPE, undefined, { schemaUrl: SCHEMA_URL })
        : provider.getTracer(TRACER_SCOPE, undefined, { schemaUrl: SCHEMA_URL });
    return tracer === undefined ? undefined : new Tracing(tracer);
  }

  /**
   * Runs `dispatch` under a span of its own, with the envelope that carries it. The parent is what runs at the moment,
   * else the `traceparent` that the caller has put into the headers.
   */
  async send<T>(envelope: Envelope, dispatch: (envelope: Envelope) => Promise<T>): Promise<T> {
    const given = envelope.last(headers) ?? {};
    const active = context.active();
    const parent = trace.getSpan(active) === undefined ? propagation.extract(active, given) : active;
    // In a batch the call as a whole is the sending, each message is created.
    const operation = active.getValue(IN_BATCH) === true ? create : send;
    const queue = envelope.last(queueName)?.queue ?? DEFAULT_QUEUE;
    const attributes = { ...messageAttributes(operation, queue, envelope), [ATTRIBUTES.messageId]: envelope.last(messageId)?.id ?? "" };
    const span = this.#tracer.startSpan(spanName(operation, queue), { kind: SpanKind.PRODUCER, attributes }, parent);
    const under = trace.setSpan(parent, span);
    const carrier: Carrier = { ...given };
    propagation.inject(under, carrier);
    return ending(span, () =>
      context.with(under, () => dispatch(Object.keys(carrier).length === 0 ? envelope : envelope.with(headers(carrier)))),
    );
  }

  /** Runs `dispatchAll` under one span for the call. */
  sendBatch<T>(items: readonly BatchItem[], dispatchAll: () => Promise<T>): Promise<T> {
    const queues = new Set(items.map(({ type, options }) => options?.queue ?? type.queue));
    const [first] = queues;
    const only = queues.size === 1 ? first : undefined;
    const attributes = { ...baseAttributes(send, only), [ATTRIBUTES.batchMessageCount]: items.length };
    const span = this.#tracer.startSpan(only === undefined ? send : spanName(send, only), { kind: SpanKind.CLIENT, attributes });
    return ending(span, () => context.with(trace.setSpan(context.active(), span).setValue(IN_BATCH, true), dispatchAll));
  }

  /** One receive that has brought something; a span per queue, linked to where each message was sent. */
  received(messages: readonly Received[], startedAt: number, endedAt: number): void {
    if (messages.length === 0 || this.#roots?.keep() === false) return;
    for (const [queue, some] of Map.groupBy(messages, (message) => message.queue)) {
      const attributes = { ...baseAttributes(receive, queue), [ATTRIBUTES.batchMessageCount]: some.length };
      const options = { kind: SpanKind.CLIENT, attributes, startTime: startedAt, root: true };
      const span = this.#tracer.startSpan(spanName(receive, queue), options, this.#root());
      // Most are left out by the sampler, and for those nothing is looked up.
      if (span.isRecording()) span.addLinks(some.slice(0, MAX_LINKS).flatMap((message) => linkTo(creationOf(message))));
      span.end(endedAt);
    }
  }

  /**
   * The span of one attempt: in the trace of its creation, linked to it and to the attempt before.
   */
  process(received: Received): ProcessSpan {
    const { queue, envelope, receipt } = received;
    const sent = envelope?.last(headers);
    const decided = this.#roots === undefined ? true : isSampled(sent?.traceparent);
    if (decided === false || (decided === undefined && this.#roots?.keep() === false)) return new UnsampledAttempt(received);
    const creation = creationOf(received);
    const spans = this.#spansOf(queue);
    const span = this.#tracer.startSpan(spans.processName, spans.processOptions, decided === undefined ? this.#root(creation) : creation);
    // An SDK of somebody else has been asked just now: what only a kept span shows is not put together for others.
    if (span.isRecording()) {
      if (envelope !== undefined) span.setAttribute(ATTRIBUTES.messageType, envelope.message.type);
      span.setAttribute(ATTRIBUTES.messageId, receipt.id);
      span.setAttribute(ATTRIBUTES.messageAttempt, attemptOf(received));
      const before = envelope?.last(redelivery)?.history.at(-1)?.trace;
      span.addLinks(linkTo(creation));
      if (before !== undefined) span.addLinks(linkTo(propagation.extract(ROOT_CONTEXT, { traceparent: before })));
    }
    return new AttemptSpan(this.#tracer, spans, span, trace.setSpan(creation, span), received);
  }

  /**
   * Runs `work` for a whole batch under a span of its own, linked to those attempts that are kept; when none is, nothing
   * below is.
   *
   * @param attempts - What ran when each message came.
   */
  batch<T>(o: { queue: string; type: string; attempts: readonly Context[] }, work: () => Promise<T>): Promise<T> {
    const [first = ROOT_CONTEXT] = o.attempts;
    const links = o.attempts.filter((attempt) => !(attempt instanceof UnsampledContext)).flatMap(linkTo);
    const kept = links.filter((link) => (link.context.traceFlags & TraceFlags.SAMPLED) !== 0).slice(0, MAX_LINKS);
    if (kept.length === 0) return context.with(first, work);
    const attributes = {
      ...baseAttributes(handle, o.queue),
      [ATTRIBUTES.messageType]: o.type,
      [ATTRIBUTES.batchMessageCount]: o.attempts.length,
    };
    const options = { kind: SpanKind.CONSUMER, attributes, links: kept };
    const span = this.#tracer.startSpan(spanName(handle, o.queue), options, this.#root());
    return ending(span, () => context.with(trace.setSpan(ROOT_CONTEXT, span), work));
  }

  /** For a trace that begins and is kept, unless the SDK is to decide that. */
  #root(within: Context = ROOT_CONTEXT): Context {
    if (this.#roots === undefined) return within;
    return within === ROOT_CONTEXT ? CHOSEN_ROOT : within.setValue(CHOSEN, true);
  }

  #spansOf(queue: string): QueueSpans {
    let found = this.#queues.get(queue);
    if (found === undefined) {
      found = new QueueSpans(queue);
      this.#queues.set(queue, found);
    }
    return found;
  }
}

const CHOSEN_ROOT = ROOT_CONTEXT.setValue(CHOSEN, true);
/** Whether this dispatch is part of a `dispatchMany`. */
const IN_BATCH = createContextKey("symphony: one of a batch");

const creationOf = ({ envelope }: Received): Context => {
  const sent = envelope?.last(headers);
  return sent === undefined ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, sent);
};

function linkTo(creation: Context): Link[] {
  const found = trace.getSpanContext(creation);
  return found === undefined ? [] : [{ context: found }];
}

async function ending<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    fail(span, errorTypeOf(error));
    throw error;
  } finally {
    span.end();
  }
}
