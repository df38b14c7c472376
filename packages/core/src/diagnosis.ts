import type { Receiver, Sender, Transport } from "./transport.ts";

/** `error`: a promise is broken, or will be. `warning`: it works, and not as well or not for long. `info`: good to know. */
export type FindingSeverity = "error" | "warning" | "info";

/** Something that is not as it should be, what follows from it, and what to do. */
export interface Finding {
  /** Stable, in kebab-case: `fsync-off`. */
  readonly code: string;
  readonly severity: FindingSeverity;
  /** What it is about, where there can be several: a queue, an index, a process id. */
  readonly subject?: string;
  /** What is the case, with the numbers. */
  readonly finding: string;
  /** What it leads to. */
  readonly consequence: string;
  /** A command or statement that cures it, or what to decide. */
  readonly cure: string;
}

/** Limits beyond which something is a finding. */
export interface DiagnosisLimits {
  /** Milliseconds that a transaction may be open. Default 300000. */
  readonly transactionMs: number;
  /** Milliseconds that a ready message may wait. Default 900000. */
  readonly waitingMs: number;
  /** Milliseconds that a delivery may take. Default 3600000. */
  readonly handlingMs: number;
  /** Dead rows of one table, at least, before they count as bloat. Default 50000. */
  readonly deadRows: number;
  /** Milliseconds between this clock and the store's. Default 2000. */
  readonly clockSkewMs: number;
}

export const DIAGNOSIS_LIMITS: DiagnosisLimits = {
  transactionMs: 300_000,
  waitingMs: 900_000,
  handlingMs: 3_600_000,
  deadRows: 50_000,
  clockSkewMs: 2_000,
};

export interface DiagnosisInput {
  /** Connections that the configured fleet opens at most; absent: not known, and not judged. */
  readonly connections?: number;
  readonly limits?: Partial<DiagnosisLimits>;
}

/** Can examine its store for what would break its promises, at bounded cost and without changing anything. */
export interface Diagnosable {
  /**
   * The worst first. Also works before `setUp`.
   *
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE`
   */
  diagnose(input?: DiagnosisInput): Promise<readonly Finding[]>;
}

export const isDiagnosable = <T extends Transport | Sender | Receiver>(t: T): t is T & Diagnosable =>
  typeof (t as unknown as Record<string, unknown>).diagnose === "function";

const ORDER: readonly FindingSeverity[] = ["error", "warning", "info"];

/** The worst first, otherwise as they came. */
export const bySeverity = <T extends Finding>(findings: readonly T[]): T[] =>
  findings.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
