import { NO_TRIES } from "./delivery.ts";
import { redelivery, suspect } from "./stamps.ts";
import type { Received } from "./transport.ts";

const MANY_INTERRUPTIONS = 20;

/**
 * It was in flight when a process died, or has killed one: the next time it may not have company. So may one that was
 * interrupted so often that chance does not explain it: by itself it shows what it does.
 */
export function isSuspect(received: Received): boolean {
  if (received.outline !== undefined) return false;
  const { envelope } = received;
  if (envelope === undefined) return false;
  const tries = envelope.last(redelivery)?.tries ?? NO_TRIES;
  return envelope.last(suspect) !== undefined || tries.crashes > 0 || tries.interruptions >= MANY_INTERRUPTIONS;
}
