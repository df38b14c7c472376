import type { ErrorRecord, Logger, Meter, Runtime, Transport } from "@symphony/core";
import type { ChildBeat } from "./ipc.ts";
import type { RecycleLimits } from "./recycle.ts";

/** How a child is started, and when it is replaced. */
export interface ChildShape {
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly recycle: RecycleLimits;
}

export interface SupervisorOptions {
  /** The module that every child runs; it ends in `runChild`. */
  readonly childModule: string;
  readonly childArgv: readonly string[];
  readonly childShape: ChildShape;
  readonly processes: number;
  /** The supervisor's own small connections, by name. */
  readonly transports: Readonly<Record<string, Transport>>;
  readonly queues?: readonly string[];
  readonly pollIntervalMs: number;
  /** Milliseconds for messages in flight when the fleet stops. */
  readonly shutdownTimeoutMs: number;
  /** Milliseconds until the whole fleet stops. */
  readonly timeLimitMs?: number;
  /** Messages after which the fleet stops, shared out over the processes. */
  readonly messageLimit?: number;
  /** Failed attempts, of all processes together, after which the fleet stops. */
  readonly failureLimit?: number;
  /** Where the sums of all children are kept. */
  readonly meter: Meter;
  readonly logger: Logger;
  readonly runtime: Runtime;
}

export interface FleetState {
  readonly wanted: number;
  readonly living: number;
  readonly ready: number;
  readonly everReady: boolean;
  readonly stopping: boolean;
  readonly paused: boolean;
  readonly restarts: number;
  /** Milliseconds since any process of the fleet last looked into the queues; null before the first time. */
  readonly pollAgeMs: number | null;
  /** Children in a row that died without having done anything, in the place where it is worst. */
  readonly crashLoop: number;
  readonly suspects: number;
  readonly lastBootError: string | null;
  /** Milliseconds since the leases were last renewed; null before the first time. */
  readonly leaseAgeMs: number | null;
  readonly leaseError: string | null;
  /** Milliseconds that this machine's clock is ahead of the database's, where it differs most; null: not known. */
  readonly clockSkewMs: number | null;
  /** What ended the fleet, when the reason is "error". */
  readonly failure: ErrorRecord | null;
  readonly totals: ChildBeat;
  readonly pids: readonly number[];
}
