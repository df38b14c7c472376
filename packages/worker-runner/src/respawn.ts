const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 30_000;
/** Milliseconds; what lived longer died of something else than its start. */
const SETTLED_MS = 10_000;

/** How a child, or a thread, came to its end. */
export interface ChildExit {
  /** Monotonic, milliseconds. */
  readonly at: number;
  readonly livedMs: number;
  /** It was asked to go. */
  readonly planned: boolean;
  /** It had done some of its work before. */
  readonly productive: boolean;
}

/**
 * Pure. Milliseconds to wait before the next one is started, from the exits so far, oldest first: 0 unless the last
 * ones died without having done anything, then 1 s, doubled with each of them in a row, at most 30 s.
 */
export function restartDelayMs(exits: readonly ChildExit[]): number {
  const failures = fruitlessInARow(exits);
  // 2^5 seconds are past the limit already; an exponent that grows with the list would not stay finite.
  return failures === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 5), LONGEST_DELAY_MS);
}

/** How many in a row, up to now, died without having done anything. */
export const fruitlessInARow = (exits: readonly ChildExit[]): number => exits.length - 1 - exits.findLastIndex(isGood);

const isGood = (exit: ChildExit): boolean => exit.planned || exit.productive || exit.livedMs >= SETTLED_MS;

/** What is known of a child that ended unasked. */
export interface ChildPast {
  /** Its leases were in the database: it had begun to receive. */
  readonly everRegistered: boolean;
  /** What it said could not be done. */
  readonly failure?: unknown;
  readonly lastBeat: { readonly processed: number };
}

/**
 * Pure. Whether the start of this child came to something. One that was killed from outside while it was at work counts,
 * whatever its last beat knew of: another one would not die of the same.
 *
 * @param suspected - It may have died of its messages.
 */
export function wasProductive({ everRegistered, failure, lastBeat }: ChildPast, suspected: boolean): boolean {
  const killedAtWork = everRegistered && !suspected && failure === undefined;
  return killedAtWork || lastBeat.processed > 0;
}

const PERMANENT: ReadonlySet<string | undefined> = new Set([
  "CONFIG_INVALID",
  "OPTIONS_INVALID",
  "ROUTE_NOT_FOUND",
  "TRANSPORT_NOT_FOUND",
  "QUEUE_NOT_FOUND",
  "SCHEMA_VERSION_MISMATCH",
]);

/** Trying again does not help: somebody has to change something. */
export const isPermanent = (code: string | undefined): boolean => PERMANENT.has(code);
