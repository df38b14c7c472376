import { HttpProblem } from "../http/problem.ts";

/** Lets so many in at a time and a few more wait; whoever comes then is refused at once instead of waiting for nothing. */
export class Gate {
  readonly #places: number;
  readonly #seats: number;
  #inside = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(o: { readonly places: number; readonly seats: number }) {
    this.#places = o.places;
    this.#seats = o.seats;
  }

  /**
   * Resolves with the way out, to be called exactly once.
   *
   * @throws {HttpProblem} 503 everything is taken.
   */
  async enter(): Promise<() => void> {
    if (this.#inside >= this.#places) {
      if (this.#waiting.length >= this.#seats)
        throw new HttpProblem(503, "OVERLOADED", "too many requests at a time", { headers: { "retry-after": "1" } });
      // Whoever leaves passes the place on: it is never free in between.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#inside += 1;
    }
    return () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    };
  }
}
