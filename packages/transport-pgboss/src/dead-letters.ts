import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetterPage,
  LazyDelivery,
  parseForeignQueue,
  type Runtime,
  type Serializer,
} from "@symphony/core";
import pg from "pg";
import { type Database, type Row, type Statement, statement } from "./connection.ts";
import { DeadLetterGroupReader } from "./dead-letter-groups.ts";
import { TIME, toFailure } from "./dead-letter-row.ts";
import { decodeCursor, encodeCursor, estimateOf, fromWhere, type Where, whereOf } from "./filter.ts";
import { Forwarding } from "./forwarding.ts";
import type { Notifier } from "./notifier.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { Redrives } from "./redrives.ts";
import { removing } from "./trash.ts";

/** Up to here a total is counted, beyond it is estimated. */
const COUNTED = 10_000;

/** Short transactions: nobody waits long for a row of one. */
const IN_ONE_STATEMENT = 500;

const NEWEST = "t.created_on DESC, t.id DESC";
const OLDEST = "t.created_on, t.id";

export interface DeadLettersInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly serializer: Serializer;
  readonly notifier: Notifier;
  readonly runtime: Runtime;
  readonly schema: string;
}

/** Lists, redrives and removes dead letters. */
export class DeadLetters {
  readonly groups: DeadLetterGroupReader;
  readonly forwarding: Forwarding;
  readonly redrives: Redrives;
  readonly #input: DeadLettersInput;

  constructor(input: DeadLettersInput) {
    const { database, queues, runtime, schema } = input;
    this.#input = input;
    this.groups = new DeadLetterGroupReader(database, queues, schema);
    this.forwarding = new Forwarding({ database, queues, schema });
    this.redrives = new Redrives({ database, queues, deadLetters: this, runtime, schema });
  }

  async list(filter: DeadLetterFilter, page: { limit: number; offset?: number; cursor?: string }): Promise<DeadLetterPage> {
    const dead = await this.#input.queues.deadLetters();
    const table = this.#table(dead);
    const where = whereOf(dead.name, filter, page.cursor === undefined ? undefined : decodeCursor(page.cursor));
    const rows = await this.#run(
      `SELECT t.id::text, t.source_name, t.priority, t.data::text, t.source_output::text, ${TIME}, t.source_retry_count
       ${fromWhere(table, where, NEWEST)} ORDER BY ${NEWEST} LIMIT ${page.limit + 1} OFFSET ${page.offset ?? 0}`,
      where.values,
      "listing dead letters",
    );
    const deadLetters = rows.slice(0, page.limit).map((row) => this.#toDeadLetter(row));
    const last = deadLetters.at(-1);
    const nextCursor = rows.length > page.limit && last !== undefined ? encodeCursor({ at: last.failedAt, id: last.id }) : null;
    return { deadLetters, nextCursor, ...(await this.#total(table, whereOf(dead.name, filter))) };
  }

  async count(filter: DeadLetterFilter): Promise<{ total: number; accuracy: "exact" | "estimated" }> {
    const dead = await this.#input.queues.deadLetters();
    return this.#total(this.#table(dead), whereOf(dead.name, filter));
  }

  /** Oldest first: they have waited longest. */
  async redrive(filter: DeadLetterFilter, limit: number): Promise<{ redriven: readonly string[]; conflicts: readonly string[] }> {
    const { queues, notifier } = this.#input;
    const dead = await queues.deadLetters();
    const where = whereOf(dead.name, filter);
    const found = await this.#run(
      `SELECT t.id::text, t.source_name ${fromWhere(this.#table(dead), where, OLDEST)} ORDER BY ${OLDEST} LIMIT ${limit}`,
      where.values,
      "looking for dead letters to redrive",
    );
    const redriven: string[] = [];
    const conflicts: string[] = [];
    for (const [name, rows] of Map.groupBy(found, (row) => row[1] as string | null)) {
      const ids = rows.map((row) => row[0] as string);
      const foreign = parseForeignQueue(name ?? "");
      if (foreign !== undefined) {
        const home = new Set(await this.forwarding.sendHome(ids, foreign.from));
        for (const id of ids) (home.has(id) ? redriven : conflicts).push(id);
        continue;
      }
      const queue = name === null ? undefined : await queues.find(name);
      // A message whose queue is gone stays where it is.
      if (queue === undefined) {
        conflicts.push(...ids);
        continue;
      }
      const sql = redriveTo(this.#input.schema, queue, dead);
      for (let i = 0; i < ids.length; i += IN_ONE_STATEMENT) {
        const rows = await this.#input.database.run(sql, [ids.slice(i, i + IN_ONE_STATEMENT)], "redriving dead letters");
        for (const row of rows) (row[1] === true ? redriven : conflicts).push(row[0] as string);
      }
      notifier.notify([queue.name]);
    }
    return { redriven, conflicts };
  }

  async remove(filter: DeadLetterFilter, limit: number): Promise<{ removed: readonly string[] }> {
    const dead = await this.#input.queues.deadLetters();
    const table = this.#table(dead);
    const where = whereOf(dead.name, filter);
    const deletion = `DELETE FROM ${table} d WHERE d.name = $1 AND d.id = ANY (ARRAY (
      SELECT t.id ${fromWhere(table, where, OLDEST)} ORDER BY ${OLDEST} LIMIT ${limit} ${where.search === undefined ? "FOR UPDATE SKIP LOCKED" : ""}))`;
    const { database, schema } = this.#input;
    const columns = "id::text, source_name, coalesce(source_id, id)::text, singleton_key IS NOT NULL";
    const { text, values } = removing(database, schema, dead.table, deletion, where.values, columns);
    const rows = await this.#run(text, values, "removing dead letters");
    await this.#forgetKeys(rows.filter((row) => row[3] === true));
    return { removed: rows.map((row) => row[0] as string) };
  }

  /**
   * Whoever sends with the key of a message that was removed must not be told that it is on its way. Not the row of one
   * that somebody cancelled, which says so. Rows: `[, queue, id]`.
   */
  async #forgetKeys(rows: readonly Row[]): Promise<void> {
    const { database, queues, schema } = this.#input;
    for (const [name, some] of Map.groupBy(rows, (row) => row[1] as string | null)) {
      const queue = name === null ? undefined : await queues.find(name);
      if (queue === undefined) continue;
      const deletion = `DELETE FROM ${schema}.${queue.table} d WHERE d.name = $1 AND d.id = ANY ($2::uuid[])
        AND d.state::text = 'cancelled' AND d.output ->> 'cancelled' IS NULL`;
      for (let i = 0; i < some.length; i += IN_ONE_STATEMENT) {
        const ids = some.slice(i, i + IN_ONE_STATEMENT).map((row) => row[2]);
        const { text, values } = removing(database, schema, queue.table, deletion, [queue.name, ids]);
        await this.#run(text, values, "forgetting idempotency keys");
      }
    }
  }

  async #total(table: string, where: Where): Promise<{ total: number; accuracy: "exact" | "estimated" }> {
    const counted = `SELECT count(*)::int FROM (SELECT 1 ${fromWhere(table, where, NEWEST)} LIMIT ${COUNTED + 1}) AS counted`;
    const total = (await this.#run(counted, where.values, "counting dead letters"))[0]?.[0] as number;
    // Of text nothing is known beyond what was read.
    if (where.search !== undefined) return { total, accuracy: "estimated" };
    if (total <= COUNTED) return { total, accuracy: "exact" };
    const estimate = await estimateOf(table, where, (text, values) => this.#run(text, values, "estimating dead letters"));
    return { total: Math.max(total, estimate), accuracy: "estimated" };
  }

  #toDeadLetter(row: Row): DeadLetter {
    const [id, source, priority, body, failure, failedAt, deliveries] = row as [
      string,
      string | null,
      number,
      string | null,
      string | null,
      string,
      number | null,
    ];
    const queue = source ?? "";
    const { envelope } = new LazyDelivery({ id, queue, fence: 0 }, priority, body ?? "null", this.#input.serializer);
    return {
      id,
      type: envelope?.message.type ?? null,
      queue,
      priority,
      body: body ?? "null",
      ...(envelope === undefined ? {} : { envelope }),
      failure: toFailure(failure, deliveries ?? 0),
      failedAt,
    };
  }

  #table(dead: QueueInfo): string {
    return `${this.#input.schema}.${dead.table}`;
  }

  /** Without a name: filters make too many different statements to keep them prepared. */
  #run(text: string, values: readonly unknown[], doing: string): Promise<Row[]> {
    return this.#input.database.run({ name: "", text }, [...values], doing);
  }
}

/**
 * Sends dead letters ($1) back to their queue in one statement, under the message's id and with its priority. The fence
 * goes on where it was: `retry_count` is higher than in any delivery before. A row that still has the id because it
 * remembers an idempotency key, or because pg-boss left it as failed, becomes the message again; any other is a
 * conflict, and the dead letter stays. Rows come back as `[id, redriven]`.
 */
function redriveTo(schema: string, queue: QueueInfo, dead: QueueInfo): Statement {
  const letters = `${schema}.${dead.table}`;
  const [name, deadName] = [pg.escapeLiteral(queue.name), pg.escapeLiteral(dead.name)];
  return statement(
    "redrive",
    `WITH d AS MATERIALIZED (
       SELECT t.*, coalesce(t.source_id, t.id) AS message_id FROM ${letters} t
       WHERE t.name = ${deadName} AND t.id = ANY ($1::uuid[]) AND t.state::text IN ('created', 'retry', 'failed')
       FOR UPDATE SKIP LOCKED),
     one AS (SELECT DISTINCT ON (message_id) * FROM d WHERE source_name = ${name} ORDER BY message_id, created_on),
     back AS (
       INSERT INTO ${schema}.${queue.table} AS j (id, name, data, priority, start_after, created_on, keep_until, retry_count, singleton_key, group_id, source_root_id,
         expire_seconds, deletion_seconds, retry_limit, retry_delay, retry_backoff, retry_delay_max, policy, dead_letter, heartbeat_seconds)
       SELECT o.message_id, ${name}, CASE WHEN jsonb_typeof(o.data) = 'object' THEN o.data - '{tries,suspect,exp}'::text[] ELSE o.data END, o.priority, now(), now(),
         now() + q.retention_seconds * interval '1 s', coalesce(o.source_retry_count, 0) + 1, o.singleton_key, o.group_id, o.source_root_id,
         q.expire_seconds, q.deletion_seconds, q.retry_limit, q.retry_delay, q.retry_backoff, q.retry_delay_max, q.policy, q.dead_letter, q.heartbeat_seconds
       FROM one o JOIN ${schema}.queue q ON q.name = ${name}
       ON CONFLICT (name, id) DO UPDATE SET state = 'retry', data = EXCLUDED.data, priority = EXCLUDED.priority, start_after = EXCLUDED.start_after,
         created_on = EXCLUDED.created_on, keep_until = EXCLUDED.keep_until, retry_count = GREATEST(j.retry_count, EXCLUDED.retry_count - 1) + 1,
         started_on = NULL, completed_on = NULL, heartbeat_on = NULL, output = NULL
       WHERE j.state::text IN ('cancelled', 'failed')
       RETURNING j.id),
     gone AS (DELETE FROM ${letters} t
       WHERE t.name = ${deadName} AND t.id = ANY (ARRAY (SELECT o.id FROM one o JOIN back b ON b.id = o.message_id)))
     SELECT d.id::text, EXISTS (SELECT 1 FROM one o JOIN back b ON b.id = o.message_id WHERE o.id = d.id) FROM d`,
  );
}
