import { randomBytes } from "node:crypto";
import { type Context, context, createContextKey, propagation, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";
import { currentAttempt } from "../attempt.ts";
import { headers } from "../stamps.ts";
import type { Received } from "../transport.ts";
import { type Carrier, type ProcessSpan, spanLogFields } from "./process-span.ts";

/** What an SDK whose sampler follows the parent tells the library, so that nothing is made for what it would leave out. */
export interface RootSampling {
  /** Whether a trace that begins here is kept. One that is is started with `CHOSEN` in its context, and the sampler must then keep it. */
  keep(): boolean;
  /**
   * Whether nobody has entered a context here. Then `context.active()` must answer with `unsampledHere()`: an attempt that is
   * not kept enters none of its own.
   */
  isOutside(): boolean;
}

let sampling: RootSampling | undefined;

export function decideRoots(by: RootSampling): void {
  sampling = by;
}

/** Undefined when nobody has said how: then the SDK's sampler is asked about everything. */
export const rootSampling = (): RootSampling | undefined => sampling;

export const CHOSEN: symbol = createContextKey("symphony: this trace is kept");

/** In `00-TRACE-SPAN-FLAGS`, all of them hexadecimal. */
const FLAGS_AT = 53;
const FLAGS_END = 55;

/** What the sender has decided; undefined when it says nothing. */
export function isSampled(traceparent: string | undefined): boolean | undefined {
  if (traceparent === undefined || traceparent.length < FLAGS_END) return undefined;
  return (Number.parseInt(traceparent.slice(FLAGS_AT, FLAGS_END), 16) & TraceFlags.SAMPLED) !== 0;
}

/** An attempt whose trace is not kept, which is most of them: no span is made. */
export class UnsampledAttempt implements ProcessSpan {
  readonly #received: Received;

  constructor(received: Received) {
    this.#received = received;
  }

  get isRecorded(): boolean {
    return false;
  }
  get traceparent(): undefined {
    return undefined;
  }
  get logFields(): Readonly<Record<string, string>> {
    return spanLogFields(trace.getSpan(unsampledContext(this.#received)));
  }
  run<T>(work: () => T): T {
    return sampling?.isOutside() === true ? work() : context.with(unsampledContext(this.#received), work);
  }
  end(): void {
    // There is nothing to end.
  }
  settled(): void {
    // Nor to show.
  }
}

const contexts = new WeakMap<Received, UnsampledContext>();

/** What an attempt that is not kept runs in; made when somebody asks. */
export function unsampledContext(received: Received): UnsampledContext {
  let found = contexts.get(received);
  if (found === undefined) {
    found = new UnsampledContext(received.envelope?.last(headers));
    contexts.set(received, found);
  }
  return found;
}

/** Runs `work` in the context of an attempt that began elsewhere and is not kept. @param carrier - Its words, if it has any of its own. */
export function inUnsampled<T>(received: Received, carrier: Carrier | undefined, work: () => T): T {
  if (carrier !== undefined) contexts.set(received, new UnsampledContext(carrier));
  return sampling?.isOutside() === true ? work() : context.with(unsampledContext(received), work);
}

/** The context of the attempt that runs here, for whoever knows that none was entered; undefined outside of attempts. */
export function unsampledHere(): Context | undefined {
  const attempt = currentAttempt.getStore();
  return attempt === undefined ? undefined : unsampledContext(attempt.received);
}

/** Finds out what is in it when somebody asks: a handler that logs, or dispatches what then is not kept either. */
export class UnsampledContext implements Context {
  readonly #headers: Carrier | undefined;
  #found: Context | undefined;

  constructor(given: Carrier | undefined) {
    this.#headers = given;
  }

  /** In words; undefined where the message says it itself. */
  get carrier(): Carrier | undefined {
    if (this.#headers?.traceparent !== undefined) return undefined;
    const carrier: Carrier = {};
    propagation.inject(this.#context, carrier);
    return carrier;
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
