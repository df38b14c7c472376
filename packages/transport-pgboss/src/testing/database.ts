import { randomBytes } from "node:crypto";
import { after, afterEach, type TestContext } from "node:test";
import { type Logger, silentLogger } from "@symphony/core";
import type { OpenTransaction, TransportCapability, TransportFixture } from "@symphony/core/testing";
import pg from "pg";
import { createPgBossTransport, type PgBossTransport, type PgBossTransportInput } from "../index.ts";
import type { QueueInfo } from "../queues.ts";

/** The database of the tests: `DATABASE_URL`, or the embedded one, which stays for all files of a run. */
export async function testDatabase(): Promise<string> {
  const url = process.env.DATABASE_URL;
  if (url !== undefined && url !== "") return url;
  const { acquire } = await import("@symphony/embedded-postgres");
  const server = await acquire();
  after(() => server.release());
  return server.connectionString;
}

/** A schema of its own: dropped when all went well, kept to be looked at when a test failed. */
export class TestSchema {
  readonly url: string;
  readonly name = `t_${randomBytes(6).toString("hex")}`;
  readonly admin: pg.Pool;
  #failed = false;
  readonly #transports: PgBossTransport[] = [];
  readonly queues = new TestQueues((sql, values) => this.query(sql, values));

  /** @param t - The test that it is for; without it, all tests of the file. */
  constructor(url: string, t?: TestContext) {
    this.url = url;
    this.admin = new pg.Pool({ connectionString: url, max: 4 });
    // A test may kill every connection; the pool opens another.
    this.admin.on("error", () => undefined);
    if (t === undefined) {
      afterEach((each) => this.#note(each));
      after(() => this.close());
    } else {
      t.after(() => {
        this.#note(t);
        return this.close();
      });
    }
  }

  #note(t: unknown): void {
    // The types of Node 24 do not know it yet; the runner does.
    if ((t as { passed?: boolean }).passed === false) this.#failed = true;
  }

  async open(input: Partial<PgBossTransportInput> = {}): Promise<PgBossTransport> {
    const transport = await createPgBossTransport({ dsn: this.url, schema: this.name, queues: ["default"], logger: testLogger, ...input });
    this.#transports.push(transport);
    return transport;
  }

  async query<R extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<R[]> {
    return (await this.admin.query<R>(sql.replaceAll("$schema", this.name), values)).rows;
  }

  /** No message anywhere. */
  async clear(): Promise<void> {
    await this.query("DELETE FROM $schema.job");
    await this.query("DELETE FROM $schema.messenger_bundle");
  }

  async queueOf(name: string): Promise<QueueInfo> {
    const [row] = await this.query<{ table: string }>("SELECT table_name AS table FROM $schema.queue WHERE name = $1", [name]);
    return { name, table: row?.table ?? "", policy: "standard", partitioned: true, keyed: false, namesDeadLetters: true, hasFlush: true };
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
    if (!this.#failed) await this.admin.query(`DROP SCHEMA IF EXISTS ${this.name} CASCADE`);
    await this.admin.end();
  }
}

type Query = <R extends pg.QueryResultRow>(sql: string, values?: unknown[]) => Promise<R[]>;

/** Making a queue takes longer than most tests of the contract: those that are as they were made are used again. */
class TestQueues {
  readonly #query: Query;
  /** How each queue looked when it was new. */
  readonly #made = new Map<string, string>();

  constructor(query: Query) {
    this.#query = query;
  }

  /** Drops all others. */
  async leave(names: readonly string[]): Promise<void> {
    await this.#drop([...this.#made.keys()].filter((name) => !names.includes(name)));
  }

  /** Notes those that are new. */
  async look(): Promise<void> {
    for (const [name, looks] of await this.#looks()) if (!this.#made.has(name)) this.#made.set(name, looks);
  }

  async dropChanged(): Promise<void> {
    await this.#drop([...(await this.#looks())].flatMap(([name, looks]) => (this.#made.get(name) === looks ? [] : [name])));
  }

  async #drop(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await this.#query("SELECT $schema.delete_queue($1)", [name]);
      this.#made.delete(name);
    }
  }

  async #looks(): Promise<Map<string, string>> {
    const rows = await this.#query<{ name: string; looks: string }>(
      `SELECT q.name, concat_ws(' ', q.table_name, q.policy, q.retry_limit, q.retry_delay, q.retry_backoff, q.retry_delay_max, q.expire_seconds, q.retention_seconds,
         q.deletion_seconds, q.partition, q.notify, q.heartbeat_seconds, q.dead_letter, c.reloptions,
         (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid),
         (SELECT array_agg(indexrelid ORDER BY indexrelid) FROM pg_index WHERE indrelid = c.oid)) AS looks
       FROM $schema.queue q JOIN pg_class c ON c.oid = to_regclass('$schema.' || q.table_name) WHERE q.dead_letter IS NOT NULL`,
    );
    return new Map(rows.map(({ name, looks }) => [name, looks]));
  }
}

/** `TEST_LOG=1` shows what the transports say. */
const testLogger: Logger =
  process.env.TEST_LOG === undefined
    ? silentLogger
    : (Object.fromEntries(
        ["trace", "debug", "info", "warn", "error", "fatal"].map((level) => [
          level,
          (fields: object, message?: string) => process.stderr.write(`${level} ${message} ${JSON.stringify(fields)}\n`),
        ]),
      ) as unknown as Logger);

/** One schema for many fixtures: each leaves it as it found it. */
export async function contractFixture(
  schema: TestSchema,
  queues: readonly string[],
  input: { first?: Partial<PgBossTransportInput>; second?: Partial<PgBossTransportInput> } = {},
): Promise<TransportFixture> {
  await schema.queues.leave(queues);
  const opened = [await schema.open({ queues, ...input.first })];
  await schema.queues.look();
  const transport = opened[0] as PgBossTransport;
  return {
    transport,
    reopen: async () => {
      const other = await schema.open({ queues, ...(input.second ?? input.first) });
      opened.push(other);
      return other;
    },
    close: async () => {
      await Promise.all(opened.map((each) => each.close()));
      await empty(schema);
    },
    corrupt: async ({ queue, body }) => {
      const rows = await schema.query<{ id: string }>(
        `INSERT INTO $schema.job (id, name, data, priority, keep_until, retry_limit, policy, dead_letter)
         SELECT gen_random_uuid(), name, $2::jsonb, 5, now() + interval '1 year', retry_limit, policy, dead_letter
         FROM $schema.queue WHERE name = $1 RETURNING id`,
        [queue, body],
      );
      return rows[0]?.id ?? "";
    },
    places: async () => {
      const rows = await schema.query<{ id: string; count: string }>(
        `SELECT id, count(*) FROM (
           SELECT j.id FROM $schema.job j JOIN $schema.queue q USING (name)
           WHERE CASE WHEN q.dead_letter IS NULL THEN j.state::text <> 'completed' ELSE j.state::text IN ('created', 'retry', 'active') END
           UNION ALL
           SELECT u.id FROM $schema.messenger_bundle b CROSS JOIN LATERAL unnest(b.ids) WITH ORDINALITY AS u(id, i)
           WHERE get_bit(b.gone, u.i::int - 1) = 0) AS places
         GROUP BY id`,
      );
      return new Map(rows.map(({ id, count }) => [id, Number(count)]));
    },
    silence: async ({ workerId, ms }) => {
      const ago = [workerId, ms];
      await schema.query(
        "UPDATE $schema.messenger_worker SET last_beat_at = last_beat_at - $2::float8 * interval '1 ms' WHERE worker_id = $1",
        ago,
      );
      await schema.query(
        "UPDATE $schema.job SET started_on = started_on - $2::float8 * interval '1 ms' WHERE output ->> 'claimedBy' = $1",
        ago,
      );
      await schema.query(
        "UPDATE $schema.messenger_bundle SET claimed_at = claimed_at - $2::float8 * interval '1 ms' WHERE worker_id = $1",
        ago,
      );
    },
    beginTransaction: () => begin(schema.url),
  };
}

async function begin(url: string): Promise<OpenTransaction> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("BEGIN");
  const end = async (how: string): Promise<void> => {
    await client.query(how);
    await client.end();
  };
  return { client, commit: () => end("COMMIT"), rollback: () => end("ROLLBACK") };
}

/** Empties what all tests share; queues are dropped that are not any more as they were made. */
async function empty(schema: TestSchema): Promise<void> {
  await schema.queues.dropChanged();
  const tables = ["job", ...OWN_TABLES.map((table) => `messenger_${table}`)];
  // To truncate them takes longer: that makes a new file of every table and index.
  await schema.query(tables.map((table) => `DELETE FROM $schema.${table}`).join(";"));
}

const OWN_TABLES = ["bundle", "worker", "counter", "signal", "audit", "trash", "schedule", "pause", "redrive", "request"];

export const ALL_CAPABILITIES: readonly TransportCapability[] = [
  "countable",
  "listable",
  "groupable",
  "wakeable",
  "setUpAble",
  "closeable",
  "transactional",
  "reapable",
  "supervisable",
  "auditable",
  "diagnosable",
  "schedulable",
  "redrivable",
  "requestKeeping",
  "pausable",
  "findable",
  "cancellable",
  "purgeable",
  "measurable",
  "forwardable",
];
