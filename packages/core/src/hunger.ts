import type { Prefetch } from "./prefetch.ts";

/** Receives in a row that found the worker idle, before a second one may go beside. */
const PATIENCE = 2;
/** The same after the store had nothing to spare for a second one: a refusal is a statement that brings nothing. */
const PATIENCE_WHEN_REFUSED = 32;

/**
 * Whether the handlers wait for the store, and finish a whole batch in the time of one receive: then a second one may be
 * under way, so that two connections work for them. Else it would only take messages that another worker could run.
 */
export class Hunger {
  readonly #prefetch: Prefetch;
  readonly #batchSize: number;
  #inVain = 0;

  constructor(prefetch: Prefetch, batchSize: number) {
    this.#prefetch = prefetch;
    this.#batchSize = batchSize;
  }

  get isHungry(): boolean {
    return this.#inVain >= PATIENCE && this.#prefetch.size >= this.#batchSize;
  }

  /** After each receive: how many it asked for and got, and how many were held when they came. */
  observe({ asked, got, held }: { readonly asked: number; readonly got: number; readonly held: number }): void {
    if (got < asked || held > asked / 2) this.#inVain = Math.min(this.#inVain, 0);
    else if (held === 0) this.#inVain += 1;
  }

  /** The store has enough to do for others: a second one would bring nothing. */
  refused(): void {
    this.#inVain = PATIENCE - PATIENCE_WHEN_REFUSED;
  }

  forget(): void {
    this.#inVain = 0;
  }
}
