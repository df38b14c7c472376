import { createHash } from "node:crypto";
import type { Behaviour, Subscriber } from "./subscribers.ts";

/**
 * What a subscriber does with one request. The dice are the request itself: the same seed, message and attempt give the
 * same answer in every run, whatever the order in which requests come.
 */
export function behaviourOf(subscriber: Subscriber, request: { seed: string; checksum: string; attempt: number }): Behaviour {
  const digest = createHash("sha256").update(`${request.seed}\n${subscriber.name}\n${request.checksum}\n${request.attempt}`).digest();
  let left = digest.readUInt32BE(0) / 2 ** 32;
  for (const [behaviour, share] of subscriber.faults) {
    if (left < share) return behaviour;
    left -= share;
  }
  return "fine";
}
