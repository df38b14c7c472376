/** Receives in a row that found the worker idle, before a second one may go beside. */
const PATIENCE = 2;

/**
 * Whether the handlers wait for the store: then a second receive may be under way, so that two connections work for them.
 * Else it would only take messages that another worker could run.
 */
export class Hunger {
  #inVain = 0;

  get isHungry(): boolean {
    return this.#inVain >= PATIENCE;
  }

  /** After each receive: how many it asked for and got, and how many were held when they came. */
  observe({ asked, got, held }: { readonly asked: number; readonly got: number; readonly held: number }): void {
    if (got < asked || held > asked / 2) this.#inVain = 0;
    else if (held === 0) this.#inVain += 1;
  }

  forget(): void {
    this.#inVain = 0;
  }
}
