import type { Arena } from "./arena.ts";

export type Figures = Readonly<Record<string, number | string | boolean>>;

/** One fault, its injection and what must hold meanwhile; the numbers are those of the fault catalogue. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** Repetitions in a full run, and in the gate; absent: not part of the gate. */
  readonly n: number;
  readonly gate?: number;
  /**
   * Seconds that it takes in the gate, nearly all of them spent on waiting: then others of its kind may run beside it, and
   * the longest begin first. Absent: it needs the machine for itself, for its load or for what it measures.
   */
  readonly waits?: number;
  /** Settings of the PostgreSQL of this row alone; absent: the server that the rows share. */
  readonly server?: Readonly<Record<string, string | number>>;
  /** Why it cannot be run on this machine; undefined when it can. Then it counts neither as passed nor as failed. */
  readonly lacks?: () => string | undefined;
  /** Says with `arena.require` what does not hold; throws when the row could not be run to its end. */
  readonly run: (arena: Arena) => Promise<Figures>;
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly seed: number;
  readonly n: number;
  readonly seconds: number;
  readonly figures: Figures;
  readonly violations: readonly string[];
  readonly passed: boolean;
  /** It has not passed, for its times alone. */
  readonly isLate?: boolean;
  /** Why it was not run. */
  readonly skipped?: string;
}
