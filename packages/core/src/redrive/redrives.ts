import type { DeadLetterFilter, Receiver, Sender } from "../transport.ts";

/**
 * A redrive is a job of its own: many dead letters sent back (or removed), at a rate, by whoever holds its lease. What
 * it has done is written down in the same transaction as the doing, so that a process that is killed in the middle
 * repeats nothing and leaves nothing out.
 */
export interface Redrive {
  readonly id: string;
  readonly action: RedriveAction;
  readonly state: RedriveState;
  readonly filter: DeadLetterFilter;
  /** Dead letters per second; null: as fast as it goes. */
  readonly rate: number | null;
  /** How many are sent first; null: all at once. */
  readonly canary: number | null;
  readonly canaryState: "none" | "waiting" | "passed";
  /** No more than so many in all; null: no limit. */
  readonly limit: number | null;
  /** It only counted. */
  readonly dryRun: boolean;
  /** Dead letters that fitted the filter when it was made. */
  readonly matching: number;
  readonly accuracy: "exact" | "estimated";
  /** Sent back, or removed. */
  readonly done: number;
  /** Left as dead letters: their queue has a message with this id or key, or is gone. */
  readonly conflicts: number;
  /** Why it stopped or paused by itself. */
  readonly reason: string | null;
  readonly requestedBy: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly finishedAt: string | null;
}

export type RedriveAction = "retry" | "remove";

/** `stopped`: a canary failed again. It can be resumed, with new canaries, and so can a paused one. */
export type RedriveState = "running" | "paused" | "stopped" | "cancelled" | "done";

export type RedriveCommand = "pause" | "resume" | "cancel";

export interface RedriveRequest {
  readonly action: RedriveAction;
  /** Only what failed before the redrive was made: a message that fails again is not sent again. */
  readonly filter: DeadLetterFilter;
  /** Per second, 0.1 to 100000. */
  readonly rate?: number;
  /**
   * Sends so many first, 1 to 1000, and waits until they are handled. When one of them is given up on again, or
   * another message fails with the same fingerprint, then or later, the redrive stops.
   */
  readonly canary?: number;
  readonly limit?: number;
  readonly dryRun?: boolean;
  /** Who wants it; for people. */
  readonly requestedBy: string;
}

/** The right to carry a redrive out; it ends by itself when its holder does not come back in time. */
export interface RedriveLease {
  readonly holder: string;
  readonly leaseMs: number;
}

export interface RedriveStep {
  readonly redrive: Redrive;
  /** False: somebody else has taken it over, nothing was done. */
  readonly held: boolean;
  /** Dead letters that were dealt with in this step, conflicts included. */
  readonly taken: number;
  /** Canaries are on their way: nothing is to be done for a moment. */
  readonly waiting: boolean;
}

/** The redrives of a transport. Every method is one atomic step. */
export interface RedriveStore {
  create(request: RedriveRequest): Promise<Redrive>;
  get(id: string): Promise<Redrive | undefined>;
  /** Newest first. */
  list(page: { limit: number; cursor?: string }): Promise<{ redrives: readonly Redrive[]; nextCursor: string | null }>;
  /** Undefined: there is no such redrive. What its state does not allow changes nothing. */
  control(id: string, command: RedriveCommand): Promise<Redrive | undefined>;
  /** Takes the lease of a running redrive that nobody holds: this one, or the oldest. */
  hold(lease: RedriveLease, id?: string): Promise<Redrive | undefined>;
  /**
   * Deals with the next dead letters, oldest first, writes down that it did and renews the lease, all in one commit.
   * Undefined: there is no such redrive.
   *
   * @param max - 0 to 1000; 0 only renews the lease.
   */
  advance(id: string, lease: RedriveLease, max: number): Promise<RedriveStep | undefined>;
  /** Gives the lease back, for others to go on at once. */
  letGo(id: string, holder: string): Promise<void>;
}

/** Can redrive and remove many dead letters as a job that outlives its process. */
export interface Redrivable {
  readonly redrives: RedriveStore;
}

export const isRedrivable = <T extends Sender | Receiver>(t: T): t is T & Redrivable =>
  typeof (t as Partial<Redrivable>).redrives?.advance === "function";

/** From which states a command leads where. */
const COMMANDS: Readonly<Record<RedriveCommand, { readonly from: readonly RedriveState[]; readonly to: RedriveState }>> = {
  pause: { from: ["running"], to: "paused" },
  resume: { from: ["paused", "stopped"], to: "running" },
  cancel: { from: ["running", "paused", "stopped"], to: "cancelled" },
};

/** Pure. The state after a command, or undefined when it changes nothing. */
export function commandedState(state: RedriveState, command: RedriveCommand): RedriveState | undefined {
  const { from, to } = COMMANDS[command];
  return from.includes(state) ? to : undefined;
}
