interface Lease {
  readonly workerId: string;
  readonly fence: number;
  /** Monotonic clock. */
  readonly sinceMs: number;
  /** Wall clock. */
  readonly at: number;
}

export interface StoredMessage {
  readonly id: string;
  readonly queue: string;
  readonly type: string;
  readonly priority: number;
  readonly key: string | undefined;
  readonly partition: string | undefined;
  /** As long as it is not finished, there is no other one with this key. */
  readonly deduplicate: string | undefined;
  body: string;
  /** Rises with every message sent: the order of age. */
  age: number;
  /** Wall clock, milliseconds. */
  readyAt: number;
  lease: Lease | undefined;
}
