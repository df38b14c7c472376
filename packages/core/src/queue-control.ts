import type { Receiver, Sender, Transport } from "./transport.ts";

/**
 * What an operator can do to a queue, for the whole fleet. Optional capabilities of a transport, as those in
 * `transport.ts`; the contract suite says in tests what the prose here says in words.
 */

/** A queue, or the messages of one type in it. */
export interface PauseTarget {
  readonly queue: string;
  /** The wire name as it is stored; an alias is another name. */
  readonly type?: string;
}

export interface Pause extends PauseTarget {
  /** RFC 3339. */
  readonly pausedAt: string;
  /** Who paused it, when that was said. */
  readonly pausedBy: string | null;
}

/** Can hold messages back from every worker, wherever it runs. Dispatching goes on. */
export interface Pausable {
  /**
   * Within a second, and one poll, no worker is given a message of the target; what was received before runs to its
   * end. Nothing is counted against the messages, and they keep their places. Idempotent: the first pause keeps its name.
   *
   * @throws {TransportError} `QUEUE_NOT_FOUND`
   */
  pauseQueue(target: PauseTarget, by?: string): Promise<void>;
  /**
   * Gives the target free; workers notice within a poll. A paused queue and paused types in it are lifted one by one.
   * False: it was not paused.
   *
   * @throws {TransportError} `QUEUE_NOT_FOUND`
   */
  resumeQueue(target: PauseTarget): Promise<boolean>;
  /** In order of queue and type; a pause of a whole queue has no `type`. */
  listPauses(): Promise<readonly Pause[]>;
}

export interface PurgeOptions {
  readonly type?: string;
  /** How many messages the caller believes are waiting; with any other number nothing is removed. */
  readonly expectedCount?: number;
}

/** Can remove what waits. */
export interface Purgeable {
  /** Messages that `purgeQueue` would remove now: ready, scheduled or held back by a pause. Counts every one: not for a status. */
  countPurgeable(target: PauseTarget): Promise<number>;
  /**
   * Removes waiting messages and their idempotency keys, for good unless an audited action does it; not those in flight, and no dead letters. Never more
   * than `expectedCount`, when that is given.
   *
   * @throws {CountMismatchError} `COUNT_MISMATCH` with the real count in `details.count`; nothing was removed.
   * @throws {TransportError} `QUEUE_NOT_FOUND`
   */
  purgeQueue(queue: string, options?: PurgeOptions): Promise<{ readonly removed: number }>;
}

type Maybe = Transport | Sender | Receiver;
const has = (target: Maybe, ...methods: string[]): boolean =>
  methods.every((method) => typeof (target as unknown as Record<string, unknown>)[method] === "function");

export const isPausable = <T extends Maybe>(t: T): t is T & Pausable => has(t, "pauseQueue", "resumeQueue", "listPauses");
export const isPurgeable = <T extends Maybe>(t: T): t is T & Purgeable => has(t, "countPurgeable", "purgeQueue");
