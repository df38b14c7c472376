import type pg from "pg";

/**
 * The connection that listens, where it can be used for more: a claim of what it has heard of. Its server process is
 * awake then, and has just run. One at a time, and short ones: while a statement runs, nothing is heard.
 */
export class Listener {
  #client: pg.Client | undefined;
  /** The client of the claim under way; it may have been replaced meanwhile. */
  #claiming: pg.Client | undefined;

  /** @param client - Connected, and it listens; undefined: it is lost, or about to be closed. */
  use(client: pg.Client | undefined): void {
    this.#client = client;
  }

  /** Whether there is one with nothing else to do. */
  get isFree(): boolean {
    return this.#client !== undefined && this.#claiming === undefined;
  }

  /** Whether a claim is under way on this one. */
  isBusy(client: pg.Client): boolean {
    return this.#claiming === client;
  }

  /** Runs a claim; only while it is free. Throws what the driver throws. */
  async claim(call: pg.QueryArrayConfig): Promise<unknown[][]> {
    const client = this.#client;
    if (client === undefined || this.#claiming !== undefined) throw new RangeError("the listening connection is not free");
    this.#claiming = client;
    try {
      return (await client.query<unknown[]>(call)).rows;
    } finally {
      this.#claiming = undefined;
    }
  }
}
