import type { ErrorRecord, MetricSeries, Receipt, StopReason, WorkerInfo } from "@symphony/core";
import type { LineState } from "../worker-process.ts";

/**
 * Every message between the supervisor and its children, as two unions. They are sent per beat and per event of a
 * child's life, never per message of a queue; the isolation lane, where one message at a time is the point, is the
 * exception.
 */

/** A delivery with the transport that it came from. */
export interface Held {
  readonly transport: string;
  readonly receipt: Receipt;
}

/** `alone`: it was suspected twice or has killed before; the others may run together once more. */
export interface SuspectHeld extends Held {
  readonly alone: boolean;
}

export interface ChildBeat {
  readonly inFlight: number;
  readonly slots: number;
  readonly processed: number;
  readonly failed: number;
  readonly leaseLost: number;
  readonly rssBytes: number;
}

/** What a child tells of itself every second and at its end. */
export interface ChildWord {
  readonly beat: ChildBeat;
  /** Milliseconds since it last received something, or nothing, from its transports; null before. */
  readonly pollAgeMs: number | null;
  readonly lines: Readonly<Record<string, LineState>>;
  /** What it has counted since its last word; the supervisor has the sums. */
  readonly metrics: readonly MetricSeries[];
}

export type FromChild =
  /** The configuration is loaded and the transports are connected, by name. Nothing is received before `renewed`. */
  | { readonly kind: "ready"; readonly workers: Readonly<Record<string, WorkerInfo>> }
  /** Every second, from the event loop: its silence means that the loop is blocked. */
  | ({ readonly kind: "beat" } & ChildWord)
  /** A receive came back full: others may help. */
  | { readonly kind: "more"; readonly transport: string }
  /** Suspects it received: to be run alone, elsewhere. It has let go of them. */
  | { readonly kind: "isolate"; readonly suspects: readonly SuspectHeld[] }
  /** In the isolation lane: these deliveries start now, and it holds no others. */
  | { readonly kind: "running"; readonly held: readonly Held[] }
  /** In the isolation lane: everything that was to be adopted is settled, or was not ours any more. */
  | { readonly kind: "laneEmpty" }
  /** It ends by itself, since its share of the fleet's limits is used up or since it cannot go on. */
  | { readonly kind: "limit"; readonly reason: StopReason }
  /** It could not start, or cannot be helped by going on; its exit follows. */
  | { readonly kind: "failed"; readonly error: ErrorRecord }
  | ({ readonly kind: "stopped"; readonly reason: StopReason } & ChildWord);

export type ToChild =
  /**
   * The lease of this worker is in the database by a pulse that took `ageMs` and began at `at` (monotonic clock). The first one
   * allows it to receive; without another one for long, the child gives up what it holds there. A worker id that the
   * child has given up meanwhile is not meant.
   */
  | { readonly kind: "renewed"; readonly transport: string; readonly workerId: string; readonly ageMs: number; readonly at: number }
  /** This worker was reaped: everything it holds belongs to others; it makes itself known again under a new id. */
  | { readonly kind: "leaseLost"; readonly transport: string; readonly workerId: string }
  /** `queues`: those that were notified; empty, or absent from a supervisor of an earlier build: not known. */
  | { readonly kind: "wake"; readonly transport: string; readonly queues?: readonly string[] }
  /** Somebody cancelled messages that workers of this transport hold: which, the database tells. */
  | { readonly kind: "cancelled"; readonly transport: string }
  | { readonly kind: "stop"; readonly reason: StopReason; readonly deadlineMs: number }
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  /** For the isolation lane: take these over and run them. */
  | { readonly kind: "adopt"; readonly suspects: readonly SuspectHeld[] };

const FROM_CHILD: ReadonlySet<string> = new Set<FromChild["kind"]>([
  "ready",
  "beat",
  "more",
  "isolate",
  "running",
  "laneEmpty",
  "limit",
  "failed",
  "stopped",
]);
const TO_CHILD: ReadonlySet<string> = new Set<ToChild["kind"]>([
  "renewed",
  "leaseLost",
  "wake",
  "cancelled",
  "stop",
  "pause",
  "resume",
  "adopt",
]);

/** What a child sent, or undefined for what is not ours: user code may use the channel, too. */
export const parseFromChild = (value: unknown): FromChild | undefined =>
  isOurs(value, FROM_CHILD) ? (value as unknown as FromChild) : undefined;
export const parseToChild = (value: unknown): ToChild | undefined => (isOurs(value, TO_CHILD) ? (value as unknown as ToChild) : undefined);

interface Sealed {
  readonly symphony: 1;
  readonly kind: string;
}

function isOurs(value: unknown, kinds: ReadonlySet<string>): value is Sealed {
  const sealed = value as Partial<Sealed> | null;
  return (
    typeof sealed === "object" && sealed !== null && sealed.symphony === 1 && typeof sealed.kind === "string" && kinds.has(sealed.kind)
  );
}

/** Marks a message as ours. */
export const seal = <T extends FromChild | ToChild>(message: T): T & { symphony: 1 } => ({ ...message, symphony: 1 });
