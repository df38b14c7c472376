import { type Clock, MessengerError } from "@symphony/core";

export interface RememberedOptions {
  readonly clock: Clock;
  /** Milliseconds for which a value is given again without reading. */
  readonly freshMs: number;
  /** Milliseconds for which it stands in while the store is away. */
  readonly staleMs: number;
  /** Waits for an answer as long as it takes, and gives what is remembered only when there is none. */
  readonly isPatient?: true;
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
  /** When its reading began, and ended. */
  readonly askedMs: number;
  readonly readMs: number;
}

/** A store that takes so many times as long as it mostly does will not answer soon. */
const LATE = 4;
/** Milliseconds: nothing is late before the least, everything after the most. */
const LEAST_PATIENCE_MS = 60;
const MOST_PATIENCE_MS = 500;
/** Readings whose length is remembered, for each key. */
const LENGTHS = 9;

const isAway = (error: unknown): boolean => error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE";

/**
 * Last values by key. A store that is away is bridged for a while: when it fails, or lets wait several times as long as
 * it mostly does, what is remembered is given at once, and the store is asked in the background.
 */
export class Remembered<T> {
  readonly #o: RememberedOptions;
  readonly #kept = new Map<string, Kept<T>>();
  readonly #reading = new Map<string, Promise<Kept<T>>>();
  /** Keys whose last reading found the store away, or too slow to wait for. */
  readonly #away = new Set<string>();
  readonly #lengths = new Map<string, readonly number[]>();
  #changedMs = Number.NEGATIVE_INFINITY;

  constructor(options: RememberedOptions) {
    this.#o = options;
  }

  /** @throws whatever `read` throws, when nothing young enough is remembered. */
  async get(key: string, read: () => Promise<T>): Promise<Recalled<T>> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#age(kept) < this.#o.freshMs) return { ...shown(kept), isStale: false };
    const reading = this.#read(key, read);
    const bridge = (): Recalled<T> | undefined =>
      kept !== undefined && this.#age(kept) <= this.#o.staleMs ? { ...shown(kept), isStale: true } : undefined;
    if (this.#away.has(key) || (await this.#isLate(key, kept, reading))) {
      const atOnce = bridge();
      if (atOnce !== undefined) {
        this.#away.add(key);
        reading.catch(() => undefined);
        return atOnce;
      }
    }
    try {
      return { ...shown(await reading), isStale: false };
    } catch (error) {
      const instead = isAway(error) ? bridge() : undefined;
      if (instead === undefined) throw error;
      return instead;
    }
  }

  /** Reads, unless there is a value younger than `ms` milliseconds; a failure is met by the next who asks. */
  async refresh(key: string, read: () => Promise<T>, ms: number): Promise<void> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#age(kept) < ms) return;
    await this.#read(key, read).catch(() => undefined);
  }

  /** What is remembered from before this moment stands in for no slow answer: only for none at all. */
  outdate(): void {
    this.#changedMs = this.#o.clock.monotonic();
  }

  /** Whether the store lets wait for longer than is worth it, having something to give instead. */
  async #isLate(key: string, kept: Kept<T> | undefined, reading: Promise<unknown>): Promise<boolean> {
    if (this.#o.isPatient === true || kept === undefined || kept.askedMs <= this.#changedMs) return false;
    const late = Promise.withResolvers<true>();
    const timer = this.#o.clock.schedule(this.#patience(key), () => late.resolve(true), { unref: true });
    try {
      return await Promise.race([late.promise, reading.then(answered, answered)]);
    } finally {
      timer.cancel();
    }
  }

  #patience(key: string): number {
    const sorted = [...(this.#lengths.get(key) ?? [])].sort((a, b) => a - b);
    // The lower middle: the first one had to connect.
    const typical = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
    return Math.min(MOST_PATIENCE_MS, Math.max(LEAST_PATIENCE_MS, LATE * typical));
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
    const askedMs = clock.monotonic();
    const reading = (async () => {
      try {
        const value = await read();
        const kept = { value, at: clock.now(), askedMs, readMs: clock.monotonic() };
        this.#kept.set(key, kept);
        this.#away.delete(key);
        this.#lengths.set(key, [...(this.#lengths.get(key) ?? []), kept.readMs - askedMs].slice(-LENGTHS));
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

const answered = (): false => false;

const shown = <T>({ value, at }: Kept<T>): { readonly value: T; readonly at: number } => ({ value, at });
