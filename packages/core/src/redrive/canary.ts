/** What is known about the messages that a redrive sent first. */
export interface CanaryFacts {
  /** Of them, waiting, in flight, or between two attempts. */
  readonly waiting: number;
  /** One of them is a dead letter again, or a message failed with a fingerprint of theirs. */
  readonly failedAgain: boolean;
  /** Milliseconds since they were sent. */
  readonly ageMs: number;
}

export type CanaryVerdict =
  | { readonly kind: "wait" }
  | { readonly kind: "passed" }
  | { readonly kind: "stopped" | "paused"; readonly reason: string };

/** Milliseconds that canaries may take. Longer, and probably nobody is working on their queue. */
const PATIENCE_MS = 300_000;

/** Pure. What the canaries say about the bug: repaired, or not. */
export function judgeCanaries({ waiting, failedAgain, ageMs }: CanaryFacts): CanaryVerdict {
  if (failedAgain) return { kind: "stopped", reason: "a message failed again with the same fingerprint" };
  if (waiting === 0) return { kind: "passed" };
  if (ageMs < PATIENCE_MS) return { kind: "wait" };
  return { kind: "paused", reason: `the first messages were not handled within ${PATIENCE_MS / 60_000} minutes: is a worker running?` };
}
