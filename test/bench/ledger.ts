/**
 * Milliseconds on the machine's monotonic clock, which all processes and threads share. Wall clocks will not do: each process
 * and thread reads its own once, when it starts, and two of them have been 20 ms apart.
 */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

export interface LedgerBuffers {
  readonly cells: SharedArrayBuffer;
  readonly times: SharedArrayBuffer;
}

/** Who was handled, how often, and how late: in shared memory, so that threads can write it. The same for every contestant. */
export class Ledger {
  readonly buffers: LedgerBuffers;
  /** The number of runs in all, then the number of runs of each message. */
  readonly #cells: Int32Array;
  /** When the first run began; then, where that is wanted, the latency of each message, and when each of them was picked up. */
  readonly #times: Float64Array;

  constructor(buffers: LedgerBuffers) {
    this.buffers = buffers;
    this.#cells = new Int32Array(buffers.cells);
    this.#times = new Float64Array(buffers.times);
  }

  static create(count: number, options: { readonly latencies?: boolean } = {}): Ledger {
    const cells = new SharedArrayBuffer((count + 1) * Int32Array.BYTES_PER_ELEMENT);
    const times = new SharedArrayBuffer((options.latencies === true ? 2 * count + 1 : 1) * Float64Array.BYTES_PER_ELEMENT);
    return new Ledger({ cells, times });
  }

  /** Call it when a message was handled. */
  note(number: number): void {
    Atomics.add(this.#cells, number + 1, 1);
    if (Atomics.add(this.#cells, 0, 1) === 0) this.#times[0] = now();
  }

  /** @param sentAt - As by `now`. */
  notePickUp(number: number, sentAt: number): void {
    const at = now();
    this.#times[number + 1] = at - sentAt;
    this.#times[number + this.#cells.length] = at;
  }

  get handled(): number {
    return Atomics.load(this.#cells, 0);
  }

  /** When the first message was handled; 0 before. */
  get firstAt(): number {
    return this.#times[0] ?? 0;
  }

  /** How often each message was handled, by its number; 255 stands for more. */
  runs(): Uint8Array {
    return Uint8Array.from(this.#cells.subarray(1), (times) => Math.min(times, 255));
  }

  latencies(): Float64Array {
    return Float64Array.from(this.#times.subarray(1, this.#cells.length));
  }

  pickedUpAt(): Float64Array {
    return Float64Array.from(this.#times.subarray(this.#cells.length));
  }
}
