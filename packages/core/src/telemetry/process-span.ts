import {
  type Attributes,
  type Context,
  context,
  propagation,
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
import type { Received } from "../transport.ts";
import { outcomeErrorType } from "./error-type.ts";
import { ATTRIBUTES, LOG_FIELDS, MESSAGING_SYSTEM, OPERATIONS, spanName } from "./names.ts";

export type Carrier = Record<string, string>;

const { settle, process: handle } = OPERATIONS;

/** What spans of a queue have in common, made once. */
export class QueueSpans {
  readonly processName: string;
  readonly processOptions: SpanOptions;
  readonly settleName: string;
  readonly #queue: string;
  readonly #settlements = new Map<string, Attributes>();

  constructor(queue: string) {
    this.#queue = queue;
    this.processName = spanName(handle, queue);
    this.processOptions = { kind: SpanKind.CONSUMER, attributes: Object.freeze(baseAttributes(handle, queue)) };
    this.settleName = spanName(settle, queue);
  }

  /** Frozen. @param operation - How the settlement is called. */
  settleAttributes(operation: string): Attributes {
    let found = this.#settlements.get(operation);
    if (found === undefined) {
      found = Object.freeze({ ...baseAttributes(settle, this.#queue), [ATTRIBUTES.operationName]: operation });
      this.#settlements.set(operation, found);
    }
    return found;
  }
}

/** One attempt, from its start to the settlement of the message. */
export interface ProcessSpan {
  /** It is kept, and not left out by the sampler. */
  readonly isRecorded: boolean;
  /** For the history of the message, so that the next attempt can link to this one. Undefined when nobody would find it. */
  readonly traceparent: string | undefined;
  /** Fields for log lines about this attempt. */
  readonly logFields: Readonly<Record<string, string>>;
  run<T>(work: () => T): T;
  /** `decision` is absent when the outcome does not count any more. */
  end(outcome: Outcome, decision: Decision | undefined): void;
  /** The decision is with the transport, or was refused: `lost`. Times are monotonic. */
  settled(operation: string, startedAt: number, endedAt: number, lost: boolean): void;
}

/** One that the SDK has been asked for. */
export class AttemptSpan implements ProcessSpan {
  readonly #tracer: Tracer;
  readonly #spans: QueueSpans;
  readonly #span: Span;
  readonly #context: Context;
  readonly #received: Received;
  readonly isRecorded: boolean;

  constructor(tracer: Tracer, spans: QueueSpans, span: Span, under: Context, received: Received) {
    this.#tracer = tracer;
    this.#spans = spans;
    this.#span = span;
    this.#context = under;
    this.#received = received;
    this.isRecorded = span.isRecording() && (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
  }

  get traceparent(): string | undefined {
    if (!this.isRecorded) return undefined;
    const carrier: Carrier = {};
    propagation.inject(this.#context, carrier);
    return carrier.traceparent;
  }

  get logFields(): Readonly<Record<string, string>> {
    return spanLogFields(this.#span);
  }

  run<T>(work: () => T): T {
    return context.with(this.#context, work);
  }

  end(outcome: Outcome, decision: Decision | undefined): void {
    if (!this.#span.isRecording()) return;
    const error =
      decision === undefined || decision.kind === "release" || decision.kind === "acknowledge" ? undefined : outcomeErrorType(outcome);
    this.#span.setAttribute(ATTRIBUTES.outcome, outcome.kind);
    if (error !== undefined) fail(this.#span, error);
    this.#span.end();
  }

  settled(operation: string, startedAt: number, endedAt: number, lost: boolean): void {
    const { envelope, receipt } = this.#received;
    const options = { kind: SpanKind.CLIENT, attributes: this.#spans.settleAttributes(operation), startTime: startedAt };
    const span = this.#tracer.startSpan(this.#spans.settleName, options, this.#context);
    if (envelope !== undefined) span.setAttribute(ATTRIBUTES.messageType, envelope.message.type);
    span.setAttribute(ATTRIBUTES.messageId, receipt.id);
    if (lost) fail(span, "LeaseLostError");
    span.end(endedAt);
  }
}

/** `trace_id`… of whatever span runs at the moment: empty without one. */
export const activeLogFields = (): Readonly<Record<string, string>> => spanLogFields(trace.getActiveSpan());

const NOTHING: Readonly<Record<string, string>> = Object.freeze({});

export function spanLogFields(span: Span | undefined): Readonly<Record<string, string>> {
  if (span === undefined) return NOTHING;
  const { traceId, spanId } = span.spanContext();
  return { [LOG_FIELDS.traceId]: traceId, [LOG_FIELDS.spanId]: spanId };
}

export const baseAttributes = (operation: string, queue: string | undefined): Attributes => ({
  [ATTRIBUTES.system]: MESSAGING_SYSTEM,
  [ATTRIBUTES.operationName]: operation,
  [ATTRIBUTES.operationType]: operation,
  ...(queue === undefined ? {} : { [ATTRIBUTES.destinationName]: queue }),
});

export const messageAttributes = (operation: string, queue: string, envelope: Envelope | undefined): Attributes => ({
  ...baseAttributes(operation, queue),
  ...(envelope === undefined ? {} : { [ATTRIBUTES.messageType]: envelope.message.type }),
});

/** Without the error's own words: they may quote what it was given. */
export function fail(span: Span, errorType: string): void {
  span.setAttribute(ATTRIBUTES.errorType, errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}
