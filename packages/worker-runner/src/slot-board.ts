/**
 * Memory that a thread and the main thread share: what each slot is doing. The main thread can read it while the thread
 * is blocked by a handler, which is when it matters.
 *
 * A cell holds 0 (free), a ticket above 0 (queued: whoever exchanges it first, starts it or takes it back), or a
 * negative number: -1 to -3 for the three ends below, and from -4 downwards a beat that changes whenever the timeout of
 * the running attempt starts anew.
 */
export class SlotBoard {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array;
  #beats = FIRST_BEAT;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
  }

  static create(slots: number): SlotBoard {
    return new SlotBoard(new SharedArrayBuffer((HEADER + 2 * slots) * Int32Array.BYTES_PER_ELEMENT));
  }

  // ---- main thread

  queue(slot: number, ticket: number): void {
    Atomics.store(this.#cells, state(slot), ticket);
  }

  /** False: the thread has started it already. */
  takeBack(slot: number, ticket: number): boolean {
    return Atomics.compareExchange(this.#cells, state(slot), ticket, FREE) === ticket;
  }

  free(slot: number): void {
    Atomics.store(this.#cells, state(slot), FREE);
  }

  /** Equal as long as the running attempt has not started its timeout anew. */
  beatOf(slot: number): number {
    return Atomics.load(this.#cells, state(slot));
  }

  phaseOf(slot: number): SlotPhase {
    const value = this.beatOf(slot);
    if (value > FREE) return "queued";
    if (value <= FIRST_BEAT) return "running";
    return ENDS[value] ?? "ended";
  }

  /** Milliseconds, 0 until the attempt has told. */
  timeoutOf(slot: number): number {
    return Atomics.load(this.#cells, timeout(slot));
  }

  /** The slot whose code the thread is calling right now, in the first synchronous stretch of a handler. */
  get entering(): number | undefined {
    const value = Atomics.load(this.#cells, ENTERING);
    return value === 0 ? undefined : value - 1;
  }

  /** The last ping that the thread's event loop has seen. */
  get answered(): number {
    return Atomics.load(this.#cells, ANSWERED);
  }

  // ---- the thread

  /** False: it was taken back. */
  begin(slot: number, ticket: number): boolean {
    const mine = Atomics.compareExchange(this.#cells, state(slot), ticket, this.#nextBeat()) === ticket;
    if (mine) Atomics.store(this.#cells, timeout(slot), 0);
    return mine;
  }

  beat(slot: number, timeoutMs: number): void {
    Atomics.store(this.#cells, timeout(slot), timeoutMs);
    Atomics.store(this.#cells, state(slot), this.#nextBeat());
  }

  /** Kept apart from the report, so that a thread that dies between the two does not make a handled message run again. */
  end(slot: number, how: SlotEnd): void {
    Atomics.store(this.#cells, state(slot), END_VALUES[how]);
  }

  /** Returns what was entered before, for `leave`. */
  enter(slot: number): number {
    return Atomics.exchange(this.#cells, ENTERING, slot + 1);
  }

  leave(before: number): void {
    Atomics.store(this.#cells, ENTERING, before);
  }

  answer(ping: number): void {
    Atomics.store(this.#cells, ANSWERED, ping);
  }

  #nextBeat(): number {
    this.#beats = this.#beats <= LAST_BEAT ? FIRST_BEAT : this.#beats - 1;
    return this.#beats;
  }
}

/** `ended`: with an outcome other than handled, which only the report carries. */
export type SlotEnd = "ended" | "handled" | "settled";
export type SlotPhase = "queued" | "running" | SlotEnd;

const HEADER = 2;
const ENTERING = 0;
const ANSWERED = 1;
const FREE = 0;
const FIRST_BEAT = -4;
const LAST_BEAT = -(2 ** 31);
const END_VALUES: Readonly<Record<SlotEnd, number>> = { ended: -1, handled: -2, settled: -3 };
const ENDS: Readonly<Record<number, SlotEnd>> = { [-1]: "ended", [-2]: "handled", [-3]: "settled" };

const state = (slot: number): number => HEADER + 2 * slot;
const timeout = (slot: number): number => HEADER + 2 * slot + 1;
