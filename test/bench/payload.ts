/** What a message carries: about 200 bytes as JSON. */
export interface BenchPayload {
  readonly number: number;
  readonly text: string;
  /** When it was sent, on the clock of `now`; for latencies. */
  readonly at?: number;
}

const TEXT = "0123456789".repeat(18);

export const payloadOf = (number: number): BenchPayload => ({ number, text: TEXT });
