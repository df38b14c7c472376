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

const isAway = (error: unknown): boolean => error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE";

/**
 * Last values by key. Those who ask at the same moment share one reading, and a store that is away is bridged for a while:
 * once it has not answered, what is remembered is given at once, and the store is asked in the background.
 */
export class Remembered<T> {
  readonly #o: RememberedOptions;
  readonly #kept = new Map<string, Kept<T>>();
  readonly #reading = new Map<string, Promise<Kept<T>>>();
  /** Keys whose last reading found the store away. */
  readonly #away = new Set<string>();

  constructor(options: RememberedOptions) {
    this.#o = options;
  }

  /** @throws whatever `read` throws, when nothing young enough is remembered. */
  async get(key: string, read: () => Promise<T>): Promise<Recalled<T>> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#age(kept) < this.#o.freshMs) return { ...kept, isStale: false };
    const reading = this.#read(key, read);
    const bridge = (): Recalled<T> | undefined =>
      kept !== undefined && this.#age(kept) <= this.#o.staleMs ? { ...kept, isStale: true } : undefined;
    const atOnce = this.#away.has(key) ? bridge() : undefined;
    if (atOnce !== undefined) {
      reading.catch(() => undefined);
      return atOnce;
    }
    try {
      return { ...(await reading), isStale: false };
    } catch (error) {
      const instead = isAway(error) ? bridge() : undefined;
      if (instead === undefined) throw error;
      return instead;
    }
  }

  #age({ readMs }: Kept<T>): number {
    return this.#o.clock.monotonic() - readMs;
  }

  #read(key: string, read: () => Promise<T>): Promise<Kept<T>> {
    const under = this.#reading.get(key);
    // Only with a tolerance for age: else a reader could be given what was counted before its own last change. A store
    // that is away is asked once at a time.
    if (under !== undefined && (this.#o.freshMs > 0 || this.#away.has(key))) return under;
    const { clock } = this.#o;
    const reading = (async () => {
      try {
        const value = await read();
        const kept = { value, at: clock.now(), readMs: clock.monotonic() };
        this.#kept.set(key, kept);
        this.#away.delete(key);
        return kept;
      } catch (error) {
        if (isAway(error)) this.#away.add(key);
        throw error;
      }
    })().finally(() => {
      if (this.#reading.get(key) === reading) this.#reading.delete(key);
    });
    this.#reading.set(key, reading);
    return reading;
  }
}
