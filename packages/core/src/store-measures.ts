import type { Receiver, Sender } from "./transport.ts";

/** How the store behind a transport is, as far as messages suffer from it. Of the whole server, whoever uses it. */
export interface StoreMeasures {
  readonly connections: number;
  readonly maxConnections: number;
  /** Milliseconds since the oldest open transaction began; 0 when there is none. */
  readonly oldestTransactionMs: number;
  /** Transactions by which the removal of dead rows lags behind, whatever holds it back. */
  readonly horizonAge: number;
  /** Dead rows in the tables of this transport. */
  readonly deadRows: number;
  /** Milliseconds after which the store deletes what waits, in the queue where that is soonest. */
  readonly retentionMs: number;
}

/** Can tell how its store is, at a cost that does not depend on how much is stored. */
export interface Measurable {
  /** @throws {TransportError} `TRANSPORT_UNAVAILABLE`, or `TRANSPORT_FAILED` when the store does not tell. */
  measureStore(): Promise<StoreMeasures>;
}

export const isMeasurable = <T extends Sender | Receiver>(t: T): t is T & Measurable =>
  typeof (t as Partial<Measurable>).measureStore === "function";
