import { AsyncLocalStorage } from "node:async_hooks";

/** Sends a message that was held back. */
export type HeldDispatch = () => Promise<unknown>;

/** One run of handlers that messages may wait for. */
export interface Holder {
  /** In the order in which they were dispatched; undefined: none. */
  held: HeldDispatch[] | undefined;
  /** Nothing can wait for it any more. */
  isOver: boolean;
}

/** The run of handlers without an attempt: in place, and outside of every other handler. */
export const inPlaceRun = new AsyncLocalStorage<Holder>();

/** Sends all; every one is tried, whatever becomes of the others. Resolves with what went wrong. */
export async function sendHeld(held: readonly HeldDispatch[]): Promise<unknown[]> {
  // Called in order, so that they are stored in order.
  const results = await Promise.allSettled(held.map((send) => send()));
  return results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
}
