import type { AttemptRecord, Tries } from "./delivery.ts";

/** Version of the wire record that this code writes; it reads this one and all before it. */
export const WIRE_VERSION = 1;

/**
 * A message as it is stored. Small, plain JSON, versioned. Absent fields mean "none".
 */
export interface WireRecord {
  readonly v: number;
  readonly id: string;
  /** Wire name of the message type. */
  readonly type: string;
  /** Version of the payload. */
  readonly tv: number;
  readonly payload: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly meta?: Readonly<Record<string, unknown>>;
  /** First ancestor; the message itself when it has no parent. */
  readonly root: string;
  readonly parent?: string | undefined;
  readonly depth: number;
  /** When it was dispatched, milliseconds since 1970. */
  readonly at: number;
  /** Older names of the type. */
  readonly was?: readonly string[];
  /** Not to be started after this time, milliseconds since 1970. */
  readonly exp?: number;
  readonly bus?: string | undefined;
  readonly key?: string;
  /** Partition key. */
  readonly part?: string;
  readonly tries?: Tries;
  readonly history?: readonly AttemptRecord[];
  /** Handlers that succeeded in an earlier attempt. */
  readonly handled?: readonly string[];
  /** Crashes of processes in which the message was one of several; absent or 0: none, or cleared. */
  readonly suspect?: number;
  /** Sendable stamps of the application, by name. */
  readonly stamps?: Readonly<Record<string, readonly unknown[]>>;
}
