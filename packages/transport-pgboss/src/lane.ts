import type { Failure, Receipt, Received, RecordPatch } from "@symphony/core";
import type { QueueInfo } from "./queues.ts";
import type { PgBossReceipt } from "./row-codec.ts";

/** Receipts of one queue. */
export interface QueueReceipts {
  readonly queue: QueueInfo;
  readonly receipts: readonly PgBossReceipt[];
}

export interface ClaimRequest {
  readonly workerId: string;
  readonly max: number;
  /** Bytes of records; infinite when nobody counts. */
  readonly maxBytes: number;
  /** See `ReceiveOptions`. */
  readonly notified?: readonly string[] | undefined;
  /** See `ReceiveOptions`. */
  readonly isBeside?: boolean;
  /** Acknowledged in the same round trip where that is possible; each of these queues is among those claimed from. */
  readonly acknowledge: readonly QueueReceipts[];
}

export interface Claimed {
  readonly received: readonly Received[];
  /** Those riding receipts that took effect. */
  readonly settled: Settlements;
  /** The epoch of control at the time of the claim; absent when nobody told it. */
  readonly controlEpoch?: number | null;
  /** Enough claims from these queues were under way beside this one. */
  readonly isBusy?: boolean;
  /** … so that not all of them were looked into. */
  readonly isRefused?: boolean;
  /** Why it is not known whether there is anything; nothing was received then. */
  readonly failure?: unknown;
}

/** Receipts that took effect: of those that were given, the same objects. */
export type Settlements = ReadonlySet<Receipt>;

export const NONE: Settlements = new Set();

/** All that took effect; of several where only one has any, as mostly, that one. */
export function union(all: readonly Settlements[]): Settlements {
  const some = all.filter(({ size }) => size > 0);
  if (some.length < 2) return some[0] ?? NONE;
  const united = new Set<Receipt>();
  for (const settled of some) for (const receipt of settled) united.add(receipt);
  return united;
}

/** A message to give back: after a delay, or (null) released to the head of its queue. */
export interface GiveBack {
  readonly receipt: PgBossReceipt;
  readonly delayMs: number | null;
  readonly patch: RecordPatch | undefined;
}

export interface Burial {
  readonly receipt: PgBossReceipt;
  readonly failure: Failure;
  readonly patch: RecordPatch | undefined;
}

/**
 * One way to work on the rows of queues: by our own statements, or through pg-boss's public API. Both leave rows that
 * the other one can go on with. Settling resolves with the receipts that took effect.
 */
export interface Lane {
  /** Its claims tell the epoch of control. */
  readonly tellsEpoch: boolean;
  /** In order of the queues; nothing of a later one while an earlier one has ready messages. */
  claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed>;
  acknowledge(groups: readonly QueueReceipts[]): Promise<Settlements>;
  giveBack(queue: QueueInfo, items: readonly GiveBack[]): Promise<Settlements>;
  deadLetter(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<Settlements>;
}
