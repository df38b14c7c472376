import { type Clock, MessengerError } from "@symphony/core";

export interface RememberedOptions {
  readonly clock: Clock;
  /** Milliseconds for which a value is given again without reading. */
  readonly freshMs: number;
  /** Milliseconds for which it stands in while the store is away. */
  readonly staleMs: number;
}

export interface Recalled<T> {
  readonly value: T;
  /** Wall clock, milliseconds since 1970. */
  readonly at: number;
  readonly isStale: boolean;
}

interface Kept<T> {
  readonly value: T;
  readonly at: number;
  readonly readMs: number;
}

/** Last values by key. Those who ask at the same moment share one reading, and a store that is away is bridged for a while. */
export class Remembered<T> {
  readonly #o: RememberedOptions;
  readonly #kept = new Map<string, Kept<T>>();
  readonly #reading = new Map<string, Promise<Kept<T>>>();

  constructor(options: RememberedOptions) {
    this.#o = options;
  }

  /** @throws whatever `read` throws, when nothing young enough is remembered. */
  async get(key: string, read: () => Promise<T>): Promise<Recalled<T>> {
    const { clock, freshMs, staleMs } = this.#o;
    const kept = this.#kept.get(key);
    if (kept !== undefined && clock.monotonic() - kept.readMs < freshMs) return { ...kept, isStale: false };
    try {
      return { ...(await this.#read(key, read)), isStale: false };
    } catch (error) {
      const isAway = error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE";
      if (!isAway || kept === undefined || clock.monotonic() - kept.readMs > staleMs) throw error;
      return { ...kept, isStale: true };
    }
  }

  #read(key: string, read: () => Promise<T>): Promise<Kept<T>> {
    const under = this.#reading.get(key);
    // Only with a tolerance for age: else a reader could be given what was counted before its own last change.
    if (under !== undefined && this.#o.freshMs > 0) return under;
    const { clock } = this.#o;
    const reading = (async () => {
      const value = await read();
      const kept = { value, at: clock.now(), readMs: clock.monotonic() };
      this.#kept.set(key, kept);
      return kept;
    })().finally(() => {
      if (this.#reading.get(key) === reading) this.#reading.delete(key);
    });
    this.#reading.set(key, reading);
    return reading;
  }
}
