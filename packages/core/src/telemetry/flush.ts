import { type Clock, systemClock } from "../clock.ts";

type Flush = () => Promise<void>;

const flushes: Flush[] = [];

/** Registers what sends out telemetry that is still in this process or thread; whoever ends it calls `flushTelemetry`. */
export function onFlushTelemetry(flush: Flush): void {
  flushes.push(flush);
}

/** Sends out what is left, for `withinMs` at most: what a collector does not take until then is lost. Never rejects. */
export async function flushTelemetry(withinMs: number, clock: Clock = systemClock): Promise<void> {
  if (flushes.length === 0) return;
  const late = Promise.withResolvers<void>();
  const timer = clock.schedule(withinMs, late.resolve);
  await Promise.race([Promise.allSettled(flushes.map((flush) => flush())), late.promise]);
  timer.cancel();
}
