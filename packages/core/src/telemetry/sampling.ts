import { randomBytes } from "node:crypto";
import { type Context, context, createContextKey, propagation, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";
import { type Carrier, type ProcessSpan, spanLogFields } from "./process-span.ts";

/** Whether a trace that begins here is kept. */
export type KeepRoot = () => boolean;

let keepRoot: KeepRoot | undefined;

/**
 * For an SDK whose sampler follows the parent: tells the library what that sampler would answer for a new trace, so that
 * nothing is made for a message that it would leave out. A root that `keep` has chosen is started with `CHOSEN` in its
 * context, and the sampler must then keep it.
 */
export function decideRoots(keep: KeepRoot): void {
  keepRoot = keep;
}

/** Undefined when nobody has said how: then the SDK's sampler is asked about everything. */
export const rootDecision = (): KeepRoot | undefined => keepRoot;

export const CHOSEN: symbol = createContextKey("symphony: this trace is kept");

/** In `00-TRACE-SPAN-FLAGS`, all of them hexadecimal. */
const FLAGS_AT = 53;
const FLAGS_END = 55;

/** What the sender has decided; undefined when it says nothing. */
export function isSampled(traceparent: string | undefined): boolean | undefined {
  if (traceparent === undefined || traceparent.length < FLAGS_END) return undefined;
  return (Number.parseInt(traceparent.slice(FLAGS_AT, FLAGS_END), 16) & TraceFlags.SAMPLED) !== 0;
}

/**
 * An attempt whose trace is not kept, which is most of them: no span is made. It is its own context, and finds out what
 * is in it when somebody asks: a handler that logs, or dispatches what then is not kept either.
 */
export class UnsampledAttempt implements Context, ProcessSpan {
  readonly #headers: Carrier | undefined;
  #found: Context | undefined;

  constructor(headers: Carrier | undefined) {
    this.#headers = headers;
  }

  get isRecorded(): boolean {
    return false;
  }
  get traceparent(): undefined {
    return undefined;
  }
  get logFields(): Readonly<Record<string, string>> {
    return spanLogFields(trace.getSpan(this.#context));
  }

  /** Its context in words. */
  get carrier(): Carrier {
    const { traceparent, tracestate, baggage } = this.#headers ?? {};
    if (traceparent !== undefined && tracestate === undefined && baggage === undefined) return { traceparent };
    const carrier: Carrier = {};
    propagation.inject(this.#context, carrier);
    return carrier;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return context.with(this, work);
  }
  end(): void {
    // There is nothing to end.
  }
  settled(): void {
    // Nor to show.
  }

  getValue(key: symbol): unknown {
    return this.#context.getValue(key);
  }
  setValue(key: symbol, value: unknown): Context {
    return this.#context.setValue(key, value);
  }
  deleteValue(key: symbol): Context {
    return this.#context.deleteValue(key);
  }

  get #context(): Context {
    this.#found ??= named(this.#headers === undefined ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, this.#headers));
    return this.#found;
  }
}

/** What has no trace gets a name of one, so that lines of one attempt are found by it, and that nothing below it is kept. */
function named(found: Context): Context {
  if (trace.getSpan(found) !== undefined) return found;
  const ids = randomBytes(24).toString("hex");
  return trace.setSpanContext(found, { traceId: ids.slice(0, 32), spanId: ids.slice(32), traceFlags: TraceFlags.NONE });
}
