/** One way of consuming a queue, to be measured. It runs in a process of its own, see `drain-process.ts`. */
export interface Contestant {
  /** Named combinations of the documented settings; the fastest of a first round is the one that competes. */
  readonly candidates: Readonly<Record<string, Settings>>;
  /** Creates the schema and stores `count` messages, numbered from 0. Not measured. */
  fill(connectionString: string, count: number): Promise<void>;
  /** Connects, then resolves; nothing is consumed before `start` is called. */
  prepare(input: DrainInput): Promise<Drain>;
  /** A statement whose single row says in `left` whether anything is not settled yet. */
  readonly unsettled: string;
}

export type Settings = Readonly<Record<string, unknown>>;

export interface DrainInput {
  readonly connectionString: string;
  readonly settings: Settings;
  readonly count: number;
}

export interface Drain {
  start(): Promise<void>;
  /** Resolves when there were as many runs as messages. */
  done(): Promise<void>;
  /** How often each message was handled, by its number. */
  runs(): ArrayLike<number>;
  /** Ends the consumer and its connections. */
  stop(): Promise<void>;
}

/** What a message carries: about 200 bytes as JSON. */
export interface BenchPayload {
  readonly number: number;
  readonly text: string;
}

export const payloadOf = (number: number): BenchPayload => ({ number, text: "0123456789".repeat(18) });

/** Splits 0…count−1 into runs, for inserts of many rows. */
export function* chunks(count: number, size = 1_000): Generator<number[]> {
  for (let from = 0; from < count; from += size) yield Array.from({ length: Math.min(size, count - from) }, (_, i) => from + i);
}

/** Counts the runs of handlers in this thread. */
export class Tally {
  readonly runs: Uint8Array;
  readonly #done = Promise.withResolvers<void>();
  #left: number;

  constructor(count: number) {
    this.runs = new Uint8Array(count);
    this.#left = count;
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  count(number: number): void {
    this.runs[number] = (this.runs[number] ?? 0) + 1;
    this.#left -= 1;
    if (this.#left === 0) this.#done.resolve();
  }
}
