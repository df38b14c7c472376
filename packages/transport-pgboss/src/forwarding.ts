import { type CarryHome, type DeadLetterParcel, type Forwardable, foreignQueue, parseForeignQueue } from "@symphony/core";
import pg from "pg";
import { type Database, type Row, type Statement, statement } from "./connection.ts";
import { TIME, toFailure } from "./dead-letter-row.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { optionsOf, QUEUE_OPTIONS } from "./statements.ts";

/** What a dead letter's row must be in: pg-boss calls one that it could not redrive "failed". */
const STATES = "t.state::text IN ('created', 'retry', 'failed')";
const COLUMNS = `coalesce(t.source_id, t.id)::text, t.source_name, t.priority, t.data::text, t.source_output::text, ${TIME},
  coalesce(t.source_retry_count, 0), t.singleton_key, t.group_id`;

/** Passes dead letters on to other stores, and keeps those of others. */
export class Forwarding implements Forwardable {
  readonly #database: Database;
  readonly #queues: QueueDirectory;
  readonly #schema: string;
  #carry: CarryHome | undefined;

  constructor(o: { database: Database; queues: QueueDirectory; schema: string }) {
    this.#database = o.database;
    this.#queues = o.queues;
    this.#schema = o.schema;
  }

  async exportDeadLetters(limit: number): Promise<readonly DeadLetterParcel[]> {
    const dead = await this.#queues.deadLetters();
    const rows = await this.#run(
      `SELECT ${COLUMNS} FROM ${this.#table(dead)} t WHERE t.name = $1 AND ${STATES} AND strpos(t.source_name, '/') = 0
       ORDER BY t.created_on, t.id LIMIT $2`,
      [dead.name, limit],
      "looking for dead letters to pass on",
    );
    return rows.map(toParcel);
  }

  async importDeadLetters(parcels: readonly DeadLetterParcel[], from?: string): Promise<void> {
    if (parcels.length === 0) return;
    const dead = await this.#queues.deadLetters();
    const given = parcels.map((parcel) => ({ ...parcel, queue: foreignQueue(from, parcel.queue) }));
    await this.#database.run(importInto(this.#schema, dead), [JSON.stringify(given)], "keeping dead letters");
  }

  async forgetDeadLetters(letters: readonly Pick<DeadLetterParcel, "id" | "failedAt">[]): Promise<readonly string[]> {
    if (letters.length === 0) return [];
    const dead = await this.#queues.deadLetters();
    const rows = await this.#run(
      `DELETE FROM ${this.#table(dead)} t USING unnest($2::uuid[], $3::timestamptz[]) AS g(id, at)
       WHERE t.name = $1 AND coalesce(t.source_id, t.id) = g.id AND t.created_on = g.at AND ${STATES} RETURNING g.id::text`,
      [dead.name, letters.map(({ id }) => id), letters.map(({ failedAt }) => failedAt)],
      "letting dead letters go",
    );
    return rows.map((row) => row[0] as string);
  }

  sendHomeBy(carry: CarryHome): void {
    this.#carry = carry;
  }

  /**
   * Sends dead letters that are kept for another transport back to it. Not in one commit with that: after a crash in
   * between they are in both, and nothing is lost.
   */
  async sendHome(ids: readonly string[], from: string): Promise<readonly string[]> {
    if (this.#carry === undefined) return [];
    const dead = await this.#queues.deadLetters();
    const rows = await this.#run(
      `SELECT ${COLUMNS} FROM ${this.#table(dead)} t WHERE t.name = $1 AND ${STATES} AND t.id = ANY ($2::uuid[])`,
      [dead.name, ids],
      "looking for dead letters to send home",
    );
    const parcels = rows.map(toParcel);
    const home = new Set(await this.#carry(from, parcels));
    await this.forgetDeadLetters(parcels.filter(({ id }) => home.has(id)));
    return [...home];
  }

  #table(dead: QueueInfo): string {
    return `${this.#schema}.${dead.table}`;
  }

  #run(text: string, values: readonly unknown[], doing: string): Promise<Row[]> {
    return this.#database.run({ name: "", text }, [...values], doing);
  }
}

function toParcel(row: Row): DeadLetterParcel {
  const [id, source, priority, body, failure, failedAt, fence, key, group] = row as [
    string,
    string,
    number,
    string | null,
    string | null,
    string,
    number,
    string | null,
    string | null,
  ];
  return {
    id,
    queue: parseForeignQueue(source)?.queue ?? source,
    priority,
    body: body ?? "null",
    failure: toFailure(failure, fence),
    failedAt,
    fence,
    ...(key === null ? {} : { idempotencyKey: key }),
    ...(group === null ? {} : { partitionKey: group }),
  };
}

/** $1: parcels as JSON. One that is there already stays, unless the given one failed later. LEFT JOIN: fail, lose nothing. */
function importInto(schema: string, dead: QueueInfo): Statement {
  const name = pg.escapeLiteral(dead.name);
  return statement(
    "import",
    `INSERT INTO ${schema}.${dead.table} AS t (id, name, data, priority, start_after, created_on, keep_until, singleton_key, group_id,
       source_name, source_id, source_created_on, source_retry_count, source_output, source_root_id, ${QUEUE_OPTIONS})
     SELECT g.id, ${name}, g.body::jsonb, g.priority, now(), g."failedAt", now() + q.retention_seconds * interval '1 s', g."idempotencyKey", g."partitionKey",
       g.queue, g.id, g."failedAt", g.fence, g.failure, g.id, ${optionsOf("q")}
     FROM json_to_recordset($1::text::json) AS g(id uuid, queue text, priority int, body text, failure jsonb, "failedAt" timestamptz, fence int,
       "idempotencyKey" text, "partitionKey" text) LEFT JOIN ${schema}.queue q ON q.name = ${name}
     ON CONFLICT (name, id) DO UPDATE SET data = EXCLUDED.data, priority = EXCLUDED.priority, created_on = EXCLUDED.created_on,
       source_name = EXCLUDED.source_name, source_retry_count = EXCLUDED.source_retry_count, source_output = EXCLUDED.source_output
     WHERE t.created_on < EXCLUDED.created_on`,
  );
}
