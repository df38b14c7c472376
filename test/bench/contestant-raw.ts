import { systemRuntime } from "@symphony/core";
import pg from "pg";
import { type Contestant, chunks, withAsyncCommit } from "./contestant.ts";
import { type BenchPayload, payloadOf } from "./payload.ts";
import { lookInto } from "./sql-look.ts";
import { handlerOf } from "./work.ts";

interface RawSettings {
  readonly batch: number;
  readonly connections: number;
}

interface RawRow {
  readonly id: string;
  readonly place: string;
  readonly data: { readonly payload: BenchPayload };
}

const DEADLOCK = "40P01";
const MOST_TRIES = 5;

/** Ids rise with time, so the primary key is the order of the queue, and the only index. */
const TABLE = `CREATE TABLE IF NOT EXISTS raw_message (id uuid PRIMARY KEY, state smallint NOT NULL DEFAULT 0, worker text,
  created_on timestamptz NOT NULL DEFAULT now(), data jsonb NOT NULL)`;

/** Deletes what the connection has handled and claims the next, in one statement: at least once, like ours, and nothing else. */
const NEXT = `WITH done AS (DELETE FROM raw_message WHERE ctid = ANY($2::tid[]))
  UPDATE raw_message SET state = 1, worker = $3 WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM raw_message WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING id, ctid AS place, data`;

/** Takes and forgets: a process that dies loses what it holds. Nobody's queue may work like this; it is the upper bound. */
const TAKE = `DELETE FROM raw_message WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM raw_message WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING id, data`;

const candidates = Object.fromEntries(
  [1_000, 500].flatMap((batch) => [1, 2, 4].map((connections) => [`batch ${batch}, ${connections} connections`, { batch, connections }])),
);

/** What PostgreSQL and its driver can do at all: our kind of rows in a plain table. */
const shape = {
  store: "postgres",
  family: "raw",
  candidates,
  async fill(target, count) {
    const producer = await this.produce(target);
    for (const numbers of chunks(count)) await producer.many(numbers.map(payloadOf));
    await producer.close();
  },
  async produce({ connectionString }) {
    const pool = new pg.Pool({ connectionString, max: 3 });
    await pool.query(TABLE);
    const insert = (rows: readonly object[]) =>
      pool.query({
        name: "insert",
        text: "INSERT INTO raw_message (id, data) SELECT id, data FROM json_to_recordset($1::text::json) AS x(id uuid, data jsonb)",
        values: [JSON.stringify(rows)],
      });
    return { one: (payload) => insert([rowOf(payload)]), many: (payloads) => insert(payloads.map(rowOf)), close: () => pool.end() };
  },
  look: ({ connectionString }) => lookInto(connectionString, "raw_message"),
} as const satisfies Partial<Contestant> & ThisType<Contestant>;

const rowOf = (payload: BenchPayload) => ({ id: systemRuntime.newId(), data: { type: "bench.drain", v: 1, payload } });

export const raw: Contestant = { ...shape, title: "raw SQL, claim and delete in one statement", prepare: (input) => consume(input, true) };
export const rawTake: Contestant = { ...shape, title: "raw SQL, at most once", prepare: (input) => consume(input, false) };

/**
 * A claim locks a row that somebody else has claimed in the same moment, before it sees that, and so two of them may wait for
 * each other's: nothing was done then.
 */
async function undisturbed<Result>(run: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await run();
    } catch (error) {
      if ((error as { code?: string }).code !== DEADLOCK || tries === MOST_TRIES) throw error;
    }
  }
}

async function consume({ target, settings, ledger, work }: Parameters<Contestant["prepare"]>[0], holds: boolean) {
  const { batch, connections } = settings as unknown as RawSettings;
  const handle = handlerOf(work, ledger);
  const clients = Array.from({ length: connections }, () => new pg.Client({ connectionString: withAsyncCommit(target.connectionString) }));
  for (const client of clients) {
    await client.connect();
    // As ours: statistics lag behind a table that fills and drains in seconds.
    await client.query("SET enable_seqscan = off; SET enable_bitmapscan = off");
  }
  const loop = async (client: pg.Client): Promise<void> => {
    for (let held: readonly string[] = []; ; ) {
      const query = holds ? { name: "next", text: NEXT, values: [batch, held, "bench"] } : { name: "take", text: TAKE, values: [batch] };
      const { rows } = await undisturbed(() => client.query<RawRow>(query));
      for (const row of rows) await handle(row.data.payload);
      if (rows.length === 0 && held.length === 0) return;
      held = holds ? rows.map(({ place }) => place) : [];
    }
  };
  let loops: Promise<unknown> = Promise.resolve();
  return {
    start() {
      loops = Promise.all(clients.map(loop));
      return Promise.resolve();
    },
    async stop() {
      await loops;
      for (const client of clients) await client.end();
    },
  };
}
