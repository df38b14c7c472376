import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  type Link,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { Decision } from "../decide.ts";
import type { Envelope } from "../envelope.ts";
import type { Outcome } from "../execute.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import { attemptOf, headers, messageId, queueName, redelivery } from "../stamps.ts";
import type { Received } from "../transport.ts";
import { errorTypeOf, outcomeErrorType } from "./error-type.ts";
import { ATTRIBUTES, LOG_FIELDS, MESSAGING_SYSTEM, OPERATIONS, SCHEMA_URL, spanName } from "./names.ts";

type Carrier = Record<string, string>;

interface BatchItem {
  readonly type: { readonly queue: string };
  readonly options?: { readonly queue?: string };
}

const SCOPE = "@symphony/core";
const { send, create, receive, process: handle, settle } = OPERATIONS;
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
  readonly #perQueue = new Map<string, { readonly name: string; readonly options: SpanOptions }>();

  private constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** Undefined when no SDK is registered at this moment: ask once, when the program is set up. */
  static find(): Tracing | undefined {
    const provider = trace.getTracerProvider();
    const tracer =
      provider instanceof ProxyTracerProvider
        ? provider.getDelegateTracer(SCOPE, undefined, { schemaUrl: SCHEMA_URL })
        : provider.getTracer(SCOPE, undefined, { schemaUrl: SCHEMA_URL });
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
    for (const [queue, some] of Map.groupBy(messages, (message) => message.queue)) {
      const attributes = { ...baseAttributes(receive, queue), [ATTRIBUTES.batchMessageCount]: some.length };
      const options = { kind: SpanKind.CLIENT, attributes, startTime: startedAt, root: true };
      const span = this.#tracer.startSpan(spanName(receive, queue), options);
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
    const creation = creationOf(received);
    const { name, options } = this.#handling(queue);
    const span = this.#tracer.startSpan(name, options, creation);
    // Most are left out by the sampler: what only a kept span shows is not put together for them.
    if (span.isRecording()) {
      if (envelope !== undefined) span.setAttribute(ATTRIBUTES.messageType, envelope.message.type);
      span.setAttribute(ATTRIBUTES.messageId, receipt.id);
      span.setAttribute(ATTRIBUTES.messageAttempt, attemptOf(received));
      const before = envelope?.last(redelivery)?.history.at(-1)?.trace;
      span.addLinks(linkTo(creation));
      if (before !== undefined) span.addLinks(linkTo(propagation.extract(ROOT_CONTEXT, { traceparent: before })));
    }
    return new ProcessSpan(this.#tracer, span, trace.setSpan(creation, span), received);
  }

  /** The same for every message of a queue. */
  #handling(queue: string): { readonly name: string; readonly options: SpanOptions } {
    let found = this.#perQueue.get(queue);
    if (found === undefined) {
      found = { name: spanName(handle, queue), options: { kind: SpanKind.CONSUMER, attributes: baseAttributes(handle, queue) } };
      this.#perQueue.set(queue, found);
    }
    return found;
  }
}

/** Whether this dispatch is part of a `dispatchMany`. */
const IN_BATCH = createContextKey("symphony: one of a batch");

/** One attempt, from its start to the settlement of the message. */
export class ProcessSpan {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #context: Context;
  readonly #received: Received;
  /** It is kept, and not left out by the sampler. */
  readonly isRecorded: boolean;

  constructor(tracer: Tracer, span: Span, under: Context, received: Received) {
    this.#tracer = tracer;
    this.#span = span;
    this.#context = under;
    this.#received = received;
    this.isRecorded = span.isRecording() && (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
  }

  /** For the history of the message, so that the next attempt can link to this one. Undefined when nobody would find it. */
  get traceparent(): string | undefined {
    if (!this.isRecorded) return undefined;
    const carrier: Carrier = {};
    propagation.inject(this.#context, carrier);
    return carrier.traceparent;
  }

  /** Fields for log lines about this attempt. */
  get logFields(): Readonly<Record<string, string>> {
    return logFieldsOf(this.#span);
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return context.with(this.#context, work);
  }

  /** `decision` is absent when the outcome does not count any more. */
  end(outcome: Outcome, decision: Decision | undefined): void {
    if (!this.#span.isRecording()) return;
    const error =
      decision === undefined || decision.kind === "release" || decision.kind === "acknowledge" ? undefined : outcomeErrorType(outcome);
    this.#span.setAttribute(ATTRIBUTES.outcome, outcome.kind);
    if (error !== undefined) fail(this.#span, error);
    this.#span.end();
  }

  /** The decision is with the transport, or was refused: `lost`. Times are monotonic. */
  settled(operation: string, startedAt: number, endedAt: number, lost: boolean): void {
    const { queue, envelope, receipt } = this.#received;
    const attributes = {
      ...messageAttributes(settle, queue, envelope),
      [ATTRIBUTES.operationName]: operation,
      [ATTRIBUTES.messageId]: receipt.id,
    };
    const span = this.#tracer.startSpan(
      spanName(settle, queue),
      { kind: SpanKind.CLIENT, attributes, startTime: startedAt },
      this.#context,
    );
    if (lost) fail(span, "LeaseLostError");
    span.end(endedAt);
  }
}

/** `message_id`… of whatever span runs at the moment: empty without one. */
export function activeLogFields(): Readonly<Record<string, string>> {
  const span = trace.getActiveSpan();
  return span === undefined ? NOTHING : logFieldsOf(span);
}

/** The active context as text, for `continueTrace` in another thread; empty when there is none. */
export function carryTrace(): string {
  if (trace.getActiveSpan() === undefined) return "";
  const carrier: Carrier = {};
  propagation.inject(context.active(), carrier);
  return JSON.stringify(carrier);
}

/** Runs `work` in the context that `carryTrace` has put into words. */
export function continueTrace<T>(carried: string, work: () => T): T {
  if (carried === "") return work();
  return context.with(propagation.extract(ROOT_CONTEXT, JSON.parse(carried) as Carrier), work);
}

const NOTHING: Readonly<Record<string, string>> = Object.freeze({});

function logFieldsOf(span: Span): Readonly<Record<string, string>> {
  const { traceId, spanId } = span.spanContext();
  return { [LOG_FIELDS.traceId]: traceId, [LOG_FIELDS.spanId]: spanId };
}

const creationOf = ({ envelope }: Received): Context => {
  const sent = envelope?.last(headers);
  return sent === undefined ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, sent);
};

function linkTo(creation: Context): Link[] {
  const found = trace.getSpanContext(creation);
  return found === undefined ? [] : [{ context: found }];
}

const baseAttributes = (operation: string, queue: string | undefined): Attributes => ({
  [ATTRIBUTES.system]: MESSAGING_SYSTEM,
  [ATTRIBUTES.operationName]: operation,
  [ATTRIBUTES.operationType]: operation,
  ...(queue === undefined ? {} : { [ATTRIBUTES.destinationName]: queue }),
});

const messageAttributes = (operation: string, queue: string, envelope: Envelope | undefined): Attributes => ({
  ...baseAttributes(operation, queue),
  ...(envelope === undefined ? {} : { [ATTRIBUTES.messageType]: envelope.message.type }),
});

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

/** Without the error's own words: they may quote what it was given. */
function fail(span: Span, errorType: string): void {
  span.setAttribute(ATTRIBUTES.errorType, errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}
