import { type Context, context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { Received } from "../transport.ts";
import type { Carrier } from "./process-span.ts";
import { inUnsampled, rootSampling, UnsampledContext, unsampledContext } from "./sampling.ts";

/** Before the words of a context that nobody has to look into. */
const UNSAMPLED = "-";

/** The context of an attempt as text, for `continueTrace` in another thread; empty when there is none. */
export function carryTrace(received: Received): string {
  const active = rootSampling()?.isOutside() === true ? unsampledContext(received) : context.active();
  if (active instanceof UnsampledContext) {
    const { carrier } = active;
    return carrier === undefined ? UNSAMPLED : UNSAMPLED + JSON.stringify(carrier);
  }
  if (trace.getSpan(active) === undefined) return "";
  const carrier: Carrier = {};
  propagation.inject(active, carrier);
  return JSON.stringify(carrier);
}

/** Runs `work`, an attempt at this message, in the context that `carryTrace` has put into words. */
export function continueTrace<T>(carried: string, received: Received, work: () => T): T {
  if (carried === "") return work();
  if (!carried.startsWith(UNSAMPLED)) return context.with(propagation.extract(ROOT_CONTEXT, JSON.parse(carried) as Carrier), work);
  const words = carried.slice(UNSAMPLED.length);
  return inUnsampled(received, words === "" ? undefined : (JSON.parse(words) as Carrier), work);
}

export type TraceContext = Context;

/** What runs at the moment, for `inTrace`. */
export const traceHere = (): TraceContext => context.active();

export const inTrace = <T>(where: TraceContext, work: () => T): T => context.with(where, work);
