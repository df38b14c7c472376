import type { AbortReason, ErrorRecord, Outcome } from "@symphony/core";
import type { SlotPhase } from "./slot-board.ts";

/** One message of a thread that died or had to be ended. */
export interface Victim {
  readonly slot: number;
  readonly phase: SlotPhase;
  /** Past its timeout, by the main thread's clock. */
  readonly expired: boolean;
  readonly timeoutMs: number;
  /** Its signal was aborted before: its outcome does not count any more. */
  readonly aborted?: AbortReason;
}

export type Death =
  /** The thread died by itself. `accused`: the slot that the thread named; null: it named a message that had ended. */
  | { readonly kind: "died"; readonly error: ErrorRecord; readonly accused?: number | null }
  /** We ended it. `responsive`: its event loop still turned, so every attempt had heard that it should end. */
  | { readonly kind: "ended"; readonly responsive: boolean; readonly entering?: number };

export interface Verdict {
  readonly slot: number;
  readonly outcome: Outcome;
  /** Runs alone next time: nobody knows yet whether it did it. */
  readonly suspect: boolean;
}

const NEIGHBOUR: Outcome = { kind: "interrupted", reason: "neighbour" };

/**
 * Pure. What becomes of each message of a thread that is gone.
 *
 * An innocent message never loses an attempt: only what is known to be guilty is counted. Where it is not known, those
 * that were running are suspects; the next time each runs alone, and who does it again is guilty.
 */
export function judge(victims: readonly Victim[], death: Death): readonly Verdict[] {
  const running = victims.filter((victim) => victim.phase === "running");
  return victims.map((victim) => {
    switch (victim.phase) {
      case "handled":
        return innocent(victim.slot, { kind: "handled" });
      case "settled":
        return innocent(victim.slot, { kind: "handled", settled: true });
      case "queued":
      case "ended":
        return innocent(victim.slot, abortOf(victim) ?? NEIGHBOUR);
      case "running":
        return death.kind === "died" ? afterDeath(victim, running, death) : afterEnding(victim, running, death);
    }
  });
}

function afterDeath(victim: Victim, running: readonly Victim[], death: Death & { kind: "died" }): Verdict {
  const { slot } = victim;
  const guilty: Verdict = { slot, outcome: { kind: "crashed", error: death.error, guilty: true }, suspect: false };
  if (death.accused === slot) return guilty;
  if (death.accused !== undefined) return innocent(slot, abortOf(victim) ?? NEIGHBOUR);
  if (running.length === 1) return guilty;
  const outcome = abortOf(victim);
  if (outcome !== undefined) return innocent(slot, outcome);
  return { slot, outcome: { kind: "crashed", error: death.error, guilty: false }, suspect: true };
}

function afterEnding(victim: Victim, running: readonly Victim[], death: Death & { kind: "ended" }): Verdict {
  const { slot } = victim;
  const aborted = abortOf(victim);
  if (aborted !== undefined) return innocent(slot, aborted);
  const timedOut: Verdict = { slot, outcome: { kind: "timedOut", timeoutMs: victim.timeoutMs }, suspect: false };
  if (death.responsive) return victim.expired ? timedOut : innocent(slot, NEIGHBOUR);
  // A blocked thread cannot tell an attempt that it is late, nor let it finish: whoever blocks it answers for that.
  if (death.entering === slot || running.length === 1) return victim.expired ? timedOut : { slot, outcome: NEIGHBOUR, suspect: true };
  if (death.entering !== undefined) return innocent(slot, NEIGHBOUR);
  return { slot, outcome: NEIGHBOUR, suspect: true };
}

const innocent = (slot: number, outcome: Outcome): Verdict => ({ slot, outcome, suspect: false });

const abortOf = (victim: Victim): Outcome | undefined =>
  victim.aborted === undefined ? undefined : { kind: "interrupted", reason: victim.aborted };
