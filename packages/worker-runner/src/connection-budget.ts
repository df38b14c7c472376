import { isTransactional, type Messenger } from "@symphony/core";

/** Connections to stores that one worker process may hold at most. */
export interface ConnectionBudget {
  /** Of the process itself; null when a transport does not tell. */
  readonly process: number | null;
  /** Of each of its threads, once a transactional handler has run there; 0 without such handlers. */
  readonly perThread: number;
  readonly threads: number;
  /** Null when a transport does not tell. */
  readonly total: number | null;
}

/** A thread's own transport: a pool for what the handler sends, and one for its transactions. */
const CONNECTIONS_PER_THREAD_AND_TRANSPORT = 4;

/** Adds up what the transports say of themselves; shown at start, and checked by `doctor` against what the server allows. */
export function countConnections(messenger: Messenger, consumed: readonly string[], threads: number): ConnectionBudget {
  const own = messenger.transportNames.map((name) => (messenger.transport(name) as { readonly maxConnections?: unknown }).maxConnections);
  const ofProcess = own.every((count) => typeof count === "number")
    ? own.reduce((total: number, count) => total + (count as number), 0)
    : null;
  const transactional = messenger.handlers.all().filter((handler) => handler.transactional && handler.execution === "thread");
  const opened = consumed.filter(
    (name) => isTransactional(messenger.transport(name)) && transactional.some(({ fromTransport = name }) => fromTransport === name),
  );
  const perThread = opened.length * CONNECTIONS_PER_THREAD_AND_TRANSPORT;
  return { process: ofProcess, perThread, threads, total: ofProcess === null ? null : ofProcess + perThread * threads };
}
