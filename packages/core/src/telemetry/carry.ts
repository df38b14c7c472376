import { type Context, context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import type { Carrier } from "./process-span.ts";
import { UnsampledAttempt } from "./sampling.ts";

/** Before the words of a context that nobody has to look into. */
const UNSAMPLED = "-";

/** The active context as text, for `continueTrace` in another thread; empty when there is none. */
export function carryTrace(): string {
  const active = context.active();
  if (active instanceof UnsampledAttempt) return UNSAMPLED + JSON.stringify(active.carrier);
  if (trace.getSpan(active) === undefined) return "";
  const carrier: Carrier = {};
  propagation.inject(active, carrier);
  return JSON.stringify(carrier);
}

/** Runs `work` in the context that `carryTrace` has put into words. */
export function continueTrace<T>(carried: string, work: () => T): T {
  if (carried === "") return work();
  const isUnsampled = carried.startsWith(UNSAMPLED);
  const carrier = JSON.parse(isUnsampled ? carried.slice(UNSAMPLED.length) : carried) as Carrier;
  return context.with(isUnsampled ? new UnsampledAttempt(carrier) : propagation.extract(ROOT_CONTEXT, carrier), work);
}

export type TraceContext = Context;

/** What runs at the moment, for `inTrace`. */
export const traceHere = (): TraceContext => context.active();

export const inTrace = <T>(where: TraceContext, work: () => T): T => context.with(where, work);
