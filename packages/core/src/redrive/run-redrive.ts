import type { Clock } from "../clock.ts";
import { MessengerError } from "../errors.ts";
import { Pace } from "./pace.ts";
import type { Redrive, RedriveStep, RedriveStore } from "./redrives.ts";

/** Milliseconds after which a redrive is free for others when its holder is gone. */
export const REDRIVE_LEASE_MS = 10_000;
/** Milliseconds after which the lease is renewed, and a pause or cancellation is seen, when nothing else is to be done. */
const RENEW_MS = 1_000;
/** Milliseconds between two looks at the canaries. */
const CANARY_POLL_MS = 500;
/** Milliseconds until the next try while the database is away. */
const AGAIN_MS = 1_000;

export interface RunRedriveInput {
  readonly redrives: RedriveStore;
  /** One whose lease is `holder`'s. */
  readonly redrive: Redrive;
  readonly holder: string;
  readonly clock: Clock;
  /** Lets go of it: whoever comes next goes on where it is. */
  readonly signal: AbortSignal;
  readonly onProgress?: (redrive: Redrive) => void;
}

/**
 * Carries a redrive out, at its rate, until it is done, paused, stopped or cancelled, until somebody else has it, or
 * until the signal. Resolves with what it is like then. While the database is away it waits.
 *
 * @throws {MessengerError} what the transport throws, but for `TRANSPORT_UNAVAILABLE`.
 */
export async function runRedrive({ redrives, redrive, holder, clock, signal, onProgress }: RunRedriveInput): Promise<Redrive> {
  const pace = new Pace(redrive.rate, clock.monotonic());
  let last = redrive;
  while (!signal.aborted) {
    const max = pace.allowance(clock.monotonic());
    const step = await advance(redrives, redrive.id, holder, max);
    if (step === "unavailable") {
      await pause(clock, AGAIN_MS, signal);
      continue;
    }
    if (step === undefined) return last;
    last = step.redrive;
    onProgress?.(last);
    if (!step.held || last.state !== "running") return last;
    pace.spend(step.taken);
    const delayMs = step.waiting ? CANARY_POLL_MS : Math.min(pace.pauseMs, RENEW_MS);
    if (delayMs > 0) await pause(clock, delayMs, signal);
  }
  await redrives.letGo(redrive.id, holder).catch(() => undefined);
  return last;
}

async function advance(redrives: RedriveStore, id: string, holder: string, max: number): Promise<RedriveStep | undefined | "unavailable"> {
  try {
    return await redrives.advance(id, { holder, leaseMs: REDRIVE_LEASE_MS }, max);
  } catch (error) {
    if (error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE") return "unavailable";
    throw error;
  }
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.schedule(delayMs, end);
    signal.addEventListener("abort", end);
  });
}
