import type { AttemptRecord, Receipt, Tries } from "./delivery.ts";
import type { Envelope } from "./envelope.ts";
import type { ErrorRecord } from "./error-record.ts";
import type { DecodeError, MessengerError } from "./errors.ts";
import type { Outline } from "./outline.ts";
import type { QueuePattern } from "./queue-patterns.ts";

export type { Receipt } from "./delivery.ts";

/**
 * The contract of a transport: a named way out of and into the process. `Sender` and `Receiver` are mandatory, the
 * capabilities below are optional and found at run time. Whoever implements one runs `describeTransportContract` from
 * `@symphony/core/testing`, which says in tests what the prose here says in words.
 */

/** What became of one envelope. `duplicate`: the idempotency key was known, `id` is the first message's. */
export type SendResult =
  | { readonly kind: "accepted"; readonly id: string; readonly queue: string }
  | { readonly kind: "duplicate"; readonly id: string; readonly queue: string }
  | { readonly kind: "refused"; readonly error: MessengerError };

export interface SendOptions {
  /** A client of the caller (`pg`): the messages join its transaction and are visible with its commit. */
  readonly transaction?: unknown;
}

export interface Sender {
  /**
   * Stores the envelopes, each with a `messageId`; resolves when they are durable (or part of the caller's
   * transaction). One result per envelope, same order: a refused one does not hold back the others.
   *
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE` when it is not known whether anything was stored.
   */
  send(envelopes: readonly Envelope[], options?: SendOptions): Promise<readonly SendResult[]>;
}

/** One delivery of one message. */
export interface Received {
  readonly receipt: Receipt;
  readonly queue: string;
  readonly priority: number;
  /** The record as it is stored, for another thread to decode and for the dead-letter queue. */
  readonly body: string;
  /** Absent exactly when `decodeError` is there. */
  readonly envelope?: Envelope | undefined;
  readonly decodeError?: DecodeError | undefined;
  /** What is known without reading the record. Absent where there is more to it, or where it was read already. */
  readonly outline?: Outline | undefined;
}

export interface ReceiveOptions {
  /** In whose name the messages are leased: what `beat` keeps alive and `reap` takes back. */
  readonly workerId: string;
  /** Order is precedence: nothing is taken from a queue while an earlier one has ready messages. Default: all. */
  readonly queues?: readonly string[];
  /**
   * Queues that notifications have named since the last receive. Whoever is told may look there alone, if it knows that
   * there was nothing elsewhere: other queues that nobody notified wait for the next receive then.
   */
  readonly notified?: readonly string[];
  /** Stop taking messages once their bodies exceed this many bytes (at least one is returned). */
  readonly maxBytes?: number;
  /**
   * Receipts to acknowledge in the same round trip. The outcome comes through `onSettled`, also when nothing is received;
   * where it does not, it is not known, and they are to be repeated.
   */
  readonly acknowledge?: readonly Receipt[];
  readonly onSettled?: (settled: readonly Settled[]) => void;
  /**
   * One more receive of this worker beside its first, to use what the store has to spare: where enough are under way already,
   * it may receive nothing although there is something. What rides with it is acknowledged all the same.
   */
  readonly isBeside?: boolean;
  /** Called, perhaps several times, when enough other receives are under way, whosever they are: one more would bring nothing. */
  readonly onBusy?: () => void;
}

/** `lease_lost`: another delivery has begun, or the message is gone; nothing was changed. */
export interface Settled {
  readonly receipt: Receipt;
  readonly status: "settled" | "lease_lost";
}

export type DeadLetterReason = "retries_exhausted" | "unrecoverable" | "no_handler" | "undecodable" | "crashed" | "timed_out" | "expired";

/** Why a message was given up on; stored beside its unchanged body. */
export interface Failure {
  readonly reason: DeadLetterReason;
  readonly error: ErrorRecord;
  /** Equal for failures that one bug causes: type, error class, normalised message, first own frame. */
  readonly fingerprint: string;
  readonly attempts: number;
  readonly workerId: string;
}

/** What a rejection changes in the stored record. */
export interface RecordPatch {
  readonly tries?: Tries;
  readonly history?: readonly AttemptRecord[];
  /** Names of the handlers that succeeded and are not run again. */
  readonly handled?: readonly string[];
  /** Crashes of processes in which it was one of several; 0 clears it of suspicion. */
  readonly suspect?: number;
}

export type Rejection =
  | { readonly receipt: Receipt; readonly retryInMs: number; readonly patch?: RecordPatch }
  | { readonly receipt: Receipt; readonly deadLetter: Failure; readonly patch?: RecordPatch }
  /** Back to the head of its queue, at once. */
  | { readonly receipt: Receipt; readonly release: true; readonly patch?: RecordPatch };

export interface Receiver {
  /**
   * Leases up to `max` messages to `workerId`, highest priority first, oldest first among equals.
   *
   * At least once: what is not settled is delivered again, with a higher fence. Resolves at once, with fewer or none
   * when there are no more (see `isBeside`). What cannot be decoded is returned with `decodeError`.
   *
   * @param max - 1 to 10000; 0 is allowed when there is something to acknowledge.
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE`: call again. Whether riding acknowledgements took effect is unknown then; repeat them.
   */
  receive(max: number, options: ReceiveOptions): Promise<readonly Received[]>;
  /** Ends the messages as handled. Fenced: a receipt of an earlier delivery changes nothing. Repeating is harmless. */
  acknowledge(receipts: readonly Receipt[]): Promise<readonly Settled[]>;
  /** Retries, dead-letters or releases, each in one atomic step. Fenced like `acknowledge`. */
  reject(rejections: readonly Rejection[]): Promise<readonly Settled[]>;
  /** Messages waiting now (ready, not scheduled for later) over all queues. */
  getQueueDepth(): Promise<number>;
}

export interface Transport extends Sender, Receiver {}

// ---- Optional capabilities -------------------------------------------------------------------------------------

export interface QueueCounts {
  /** `TRANSPORT/QUEUE`: dead letters that are kept for another transport; such a line has nothing else. */
  readonly queue: string;
  readonly ready: number;
  readonly scheduled: number;
  readonly active: number;
  readonly failed: number;
  /** Handled since set-up. */
  readonly completed: number;
  /** Age of the oldest ready message in milliseconds, null when there is none. */
  readonly oldestReadyAgeMs: number | null;
  /** `estimated`: a count was cut off or taken from statistics to keep the cost constant. */
  readonly accuracy: "exact" | "estimated";
}

/** Can tell how much is where, at constant cost. */
export interface Countable {
  getCounts(): Promise<readonly QueueCounts[]>;
}

/** A message that was given up on, in full. */
export interface DeadLetter {
  readonly id: string;
  /** The wire name, or null when the record could not be decoded. */
  readonly type: string | null;
  readonly queue: string;
  readonly priority: number;
  readonly body: string;
  readonly envelope?: Envelope;
  readonly failure: Failure;
  /** RFC 3339. */
  readonly failedAt: string;
}

export interface DeadLetterFilter {
  readonly ids?: readonly string[];
  readonly type?: string;
  readonly queue?: string;
  /** Of one of these queues, by name or `prefix.*`; beside `queue` both must fit. */
  readonly queues?: readonly QueuePattern[];
  /** RFC 3339; failed at or after. */
  readonly since?: string;
  /** RFC 3339; failed before. */
  readonly until?: string;
  /** Empty: those without one. */
  readonly fingerprint?: string;
  /** Text in the error's message, in capitals or not. Of what else fits, one call looks at a bounded number (20,000) only. */
  readonly search?: string;
}

export interface DeadLetterPage {
  readonly deadLetters: readonly DeadLetter[];
  readonly total: number;
  readonly accuracy: "exact" | "estimated";
  readonly nextCursor: string | null;
}

/** Can list, redrive and remove dead letters, newest first. */
export interface Listable {
  listDeadLetters(filter: DeadLetterFilter, page: { limit: number; offset?: number; cursor?: string }): Promise<DeadLetterPage>;
  /** Sends dead letters back to their own queue with the same message id and counters at zero. Conflicts stay where they are. */
  redriveDeadLetters(filter: DeadLetterFilter, limit: number): Promise<{ redriven: readonly string[]; conflicts: readonly string[] }>;
  removeDeadLetters(filter: DeadLetterFilter, limit: number): Promise<{ removed: readonly string[] }>;
}

/** Tells that messages may be waiting, so that nobody has to poll often. A hint: polling must still find everything. */
export interface Wakeable {
  /** Calls `listener` with queue names until the returned function is called. Resolves when listening, or when it is known that it cannot. */
  onWake(listener: (queues: readonly string[]) => void): Promise<() => Promise<void>>;
}

/** Needs tables, queues or the like before use. */
export interface SetUpAble {
  /** Idempotent and safe from many processes at once. `dryRun`: changes nothing. Resolves with the statements or steps. */
  setUp(options?: { dryRun?: boolean }): Promise<readonly string[]>;
  /** What `setUp` would have to do; empty when all is there. */
  checkSetUp(): Promise<readonly string[]>;
}

export interface Closeable {
  /** Flushes and disconnects. Idempotent. */
  close(): Promise<void>;
}

/** The handler's own writes, its dispatches and the acknowledgement can be one commit. */
export interface Transactional {
  /**
   * Runs `work` in a transaction that also acknowledges `receipt`; commits both, or neither.
   *
   * @throws {LeaseLostError} when the delivery is not current any more: everything is rolled back.
   * @throws whatever `work` throws, after the rollback.
   */
  transaction<T>(receipt: Receipt, work: (client: unknown) => Promise<T>): Promise<T>;
}

/** A worker as it is known to the whole fleet. */
export interface WorkerInfo {
  readonly workerId: string;
  readonly hostname: string;
  readonly pid: number;
  readonly queues: readonly string[];
  readonly slots: number;
}

export interface WorkerRow extends WorkerInfo {
  /** RFC 3339, database time. */
  readonly startedAt: string;
  readonly lastBeatAt: string;
  readonly inFlight: number;
}

/** Leases hang on beats of the worker process, and anybody can take back the work of one that stopped beating. */
export interface Reapable {
  /** Registers the worker or renews its lease. False: it was reaped, everything it holds is lost; register under a new id. */
  beat(worker: WorkerInfo, inFlight: number): Promise<boolean>;
  /** Takes back the messages of workers without a beat for `olderThanMs`, counted as interruptions; resolves with how many. */
  reap(olderThanMs: number): Promise<{ workers: readonly string[]; messages: number }>;
  /** Takes back, at once, what this worker still holds, and forgets it. */
  retire(workerId: string): Promise<{ messages: number }>;
  listWorkers(): Promise<readonly WorkerRow[]>;
}

/** What a pulse reports of one worker process, and what the fleet learns by it. */
export interface WorkerPulse {
  readonly worker: WorkerInfo;
  readonly inFlight: number;
}

export interface FleetNews {
  /** Ids of workers that were reaped meanwhile: what they hold belongs to others. */
  readonly lost: readonly string[];
  /** When all workers were last asked to stop, RFC 3339 by database time; null: never. */
  readonly stopRequestedAt: string | null;
  /** Database time, RFC 3339, to compare with. */
  readonly now: string;
  /** Milliseconds since the beat of the worker that has been silent longest, before this pulse; 0: there is none. */
  readonly silentMs: number;
}

/** What a supervisor of several worker processes needs beside `Reapable`: a few statements for all of them together. */
export interface Supervisable {
  /** Renews the leases of all these workers in one round trip; registers those it does not know. */
  pulse(workers: readonly WorkerPulse[]): Promise<FleetNews>;
  /** Asks every worker of the fleet that runs now to finish and make room for a new one. Those started later are not meant. */
  requestStop(): Promise<void>;
  /** Whether there is anything to receive; one cheap statement, so that one poller can watch for many idle workers. */
  hasReady(queues?: readonly string[]): Promise<boolean>;
  /**
   * Takes back what `workerId` holds, as `Reapable.retire` does, and marks each message as a suspect: it was in flight
   * when its process died, and nobody knows yet which of them was the cause.
   */
  retireAsSuspects(workerId: string): Promise<{ messages: number }>;
  /** Passes deliveries from whoever holds them to `workerId`, with a higher fence; those that are not current any more are left out. */
  adopt(receipts: readonly Receipt[], workerId: string): Promise<readonly Received[]>;
}

type Maybe = Transport | Sender | Receiver;
const has = (target: Maybe, ...methods: string[]): boolean =>
  methods.every((method) => typeof (target as unknown as Record<string, unknown>)[method] === "function");

export const isCountable = <T extends Maybe>(t: T): t is T & Countable => has(t, "getCounts");
export const isListable = <T extends Maybe>(t: T): t is T & Listable =>
  has(t, "listDeadLetters", "redriveDeadLetters", "removeDeadLetters");
export const isWakeable = <T extends Maybe>(t: T): t is T & Wakeable => has(t, "onWake");
export const isSetUpAble = <T extends Maybe>(t: T): t is T & SetUpAble => has(t, "setUp", "checkSetUp");
export const isCloseable = <T extends Maybe>(t: T): t is T & Closeable => has(t, "close");
export const isTransactional = <T extends Maybe>(t: T): t is T & Transactional => has(t, "transaction");
export const isReapable = <T extends Maybe>(t: T): t is T & Reapable => has(t, "beat", "reap", "retire", "listWorkers");
export const isSupervisable = <T extends Maybe>(t: T): t is T & Supervisable =>
  has(t, "pulse", "requestStop", "hasReady", "retireAsSuspects", "adopt");
