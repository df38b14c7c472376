import { type KeptAnswer, type KeptRequest, type RequestClaim, type RequestStore, type Runtime, TransportError } from "@symphony/core";
import type { Database, Row } from "./connection.ts";
import { REQUEST_TABLE } from "./statements.ts";

/** Rows that one tidying statement forgets: short transactions. */
const TIDIED = 5_000;
/** A row that was there and is gone was given back at this moment: ask again. */
const TRIES = 5;

export interface RequestLogInput {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly schema: string;
}

/** Requests by key. A row commits with what its request changed, and whoever comes second waits for that commit. */
export class RequestLog implements RequestStore {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #table: string;

  constructor({ database, runtime, schema }: RequestLogInput) {
    this.#database = database;
    this.#runtime = runtime;
    this.#table = `${schema}.${REQUEST_TABLE}`;
  }

  answerOnce(claim: RequestClaim, work: () => Promise<KeptAnswer>): Promise<{ kept: KeptRequest; isNew: boolean }> {
    return this.#database.inAction("carrying out a request", this.#runtime.newId(), async () => {
      const known = await this.claim(claim);
      if (known !== undefined) return { kept: known, isNew: false };
      const answer = await work();
      await this.keep(claim.key, answer, claim.forMs);
      return { kept: { fingerprint: claim.fingerprint, answer }, isNew: true };
    });
  }

  async claim({ key, fingerprint, forMs }: RequestClaim): Promise<KeptRequest | undefined> {
    for (let tries = 1; tries <= TRIES; tries += 1) {
      const [claimed] = await this.#run(this.#claiming(), [key, fingerprint, forMs]);
      if (claimed !== undefined) return undefined;
      // A statement of its own: it sees what was committed while the first one waited.
      const [row] = await this.#run(`SELECT fingerprint, status, body FROM ${this.#table} WHERE key = $1`, [key]);
      if (row !== undefined) return toKept(row);
    }
    throw new TransportError("TRANSPORT_UNAVAILABLE", "a request was claimed and given back again and again");
  }

  async keep(key: string, answer: KeptAnswer, forMs: number): Promise<void> {
    await this.#run(
      `UPDATE ${this.#table} SET status = $2::int, body = $3::jsonb, until = clock_timestamp() + $4::float8 * interval '1 ms' WHERE key = $1`,
      [key, answer.status, JSON.stringify(answer.body), forMs],
    );
  }

  async release(key: string): Promise<void> {
    await this.#run(`DELETE FROM ${this.#table} WHERE key = $1`, [key]);
  }

  async tidy(): Promise<number> {
    const rows = await this.#run(
      `WITH old AS (SELECT key FROM ${this.#table} WHERE until < now() ORDER BY until, key LIMIT ${TIDIED})
       DELETE FROM ${this.#table} t USING old WHERE t.key = old.key AND t.until < now() RETURNING 1`,
      [],
    );
    return rows.length;
  }

  /**
   * Takes what is over out of the way first. No key is named as the one that may be there: two that come in the same
   * microsecond meet in the other index of the table, which would be an error then.
   */
  #claiming(): string {
    return `WITH ended AS (DELETE FROM ${this.#table} WHERE key = $1 AND until <= clock_timestamp() RETURNING 1)
      INSERT INTO ${this.#table} (key, fingerprint, until)
      SELECT $1, $2, clock_timestamp() + $3::float8 * interval '1 ms' FROM (SELECT count(*) FROM ended) AS first
      ON CONFLICT DO NOTHING RETURNING 1`;
  }

  #run(text: string, values: readonly unknown[]): Promise<Row[]> {
    return this.#database.run({ name: "", text }, [...values], "remembering a request");
  }
}

function toKept(row: Row): KeptRequest {
  const [fingerprint, status, body] = row as [string, number | null, unknown];
  return status === null ? { fingerprint } : { fingerprint, answer: { status, body } };
}
