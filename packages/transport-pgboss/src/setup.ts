import { isDeepStrictEqual } from "node:util";
import { type Logger, type Runtime, TransportError } from "@symphony/core";
import pg from "pg";
import type { PgBoss } from "pg-boss";
import { BOSS_SCHEMA_VERSION, createBoss } from "./boss.ts";
import { BUNDLE_STORAGE } from "./bundle-statements.ts";
import type { Database } from "./connection.ts";
import { toTransportError } from "./driver-errors.ts";
import { failedTrigger } from "./failed-trigger.ts";
import { FLUSH_SEQUENCE } from "./flush.ts";
import { forgetAuditFunction } from "./forget-audit.ts";
import type { IndexLayout } from "./index-layout.ts";
import { KEYED_INDEXES, keyedTriggers } from "./keyed-queues.ts";
import type { PgBossOptions } from "./options.ts";
import { indexes, OWN_TABLES, queueOptions, STORAGE } from "./queue-layout.ts";
import { type QueueState, readSchemaState, type SchemaState } from "./schema-state.ts";
import { BUNDLE_TABLE } from "./statements.ts";

/** One thing that is missing. */
export interface Step {
  readonly kind: "schema" | "queue" | "care";
  readonly title: string;
  /** For people; pg-boss runs its own. */
  readonly sql: readonly string[];
  /** Absent: `sql` is run as it stands. */
  readonly run?: (boss: PgBoss) => Promise<void>;
  /** The queue that it makes. */
  readonly makes?: string;
  /** An improvement of this queue whose lock would hold up everybody who uses it: for who asks for set-up, or makes the queue. */
  readonly locks?: string;
}

/** Another process did the same at the same moment (object exists), or stood in the way for too long: look again. */
const LOCK_NOT_AVAILABLE = "55P03";
const RACE_STATES = new Set(["42P07", "42710", "23505", "42P06", LOCK_NOT_AVAILABLE, "40P01", "XX000"]);
const TRIES = 10;
const LOCK_POLL_MS = 50;
/** Milliseconds for which everybody who uses a queue may be held up by an improvement of it, in one try. */
const SHORT_LOCK_MS = 200;
const LOCK_PATIENCE_MS = 120_000;

/** Makes and checks everything in the database. What is there already is not touched. */
export class SetUp {
  readonly #database: Database;
  readonly #options: PgBossOptions;
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #keyed: ReadonlySet<string>;

  /** @param keyed - Queues to prepare for partition and deduplication keys, among those that are set up. */
  constructor(database: Database, options: PgBossOptions, runtime: Runtime, logger: Logger, keyed: ReadonlySet<string>) {
    this.#keyed = keyed;
    this.#database = database;
    this.#options = options;
    this.#runtime = runtime;
    this.#logger = logger;
  }

  /** @throws {TransportError} `SCHEMA_VERSION_MISMATCH` when the schema is of a newer version than this code. */
  async missing(queues: readonly string[]): Promise<readonly Step[]> {
    try {
      return await this.#plan(await readSchemaState(this.#database.main, this.#options.schema, this.#names(queues)), queues);
    } catch (error) {
      throw toTransportError(error, "examining the schema");
    }
  }

  /**
   * Does what is missing, and resolves with what that was. Safe from any number of processes at once.
   *
   * @param o.unasked - By a program that starts, whose role may have no right to alter a table: what would hold up others
   *   is left out.
   */
  async run(queues: readonly string[], o: { readonly unasked?: boolean } = {}): Promise<readonly Step[]> {
    const missing = (await this.missing(queues)).filter((step) => o.unasked !== true || step.locks === undefined);
    if (missing.length === 0) return missing;
    const done: Step[] = [];
    for (let tries = 1; ; tries++) {
      try {
        await this.#attempt(queues, done, o.unasked === true);
        return done;
      } catch (error) {
        if (tries >= TRIES && (await this.#canWait(error, queues))) return done;
        if (tries >= TRIES || !RACE_STATES.has((error as { code?: string }).code ?? "")) throw toTransportError(error, "setting up");
        this.#logger.info({ err: error, tries }, "set-up met another process; looking again");
        await this.#pause(LOCK_POLL_MS * tries * (1 + this.#runtime.random()));
      }
    }
  }

  /** A transaction that stays open keeps an improvement from its lock, and nothing else is missing: no reason to fail. */
  async #canWait(error: unknown, queues: readonly string[]): Promise<boolean> {
    if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) return false;
    const missing = await this.missing(queues);
    if (missing.some(({ locks }) => locks === undefined)) return false;
    this.#logger.warn({ missing: missing.map(({ title }) => title) }, "left out, since others use the queue: run `symphony setup` again");
    return true;
  }

  async #attempt(queues: readonly string[], done: Step[], unasked: boolean): Promise<void> {
    const config = this.#database.plainConfig([`lock_timeout=${this.#options.lockTimeoutMs}`]);
    const client = this.#database.client(config);
    client.on("error", (error) => this.#logger.debug({ err: error }, "the connection of set-up was lost"));
    await client.connect();
    try {
      await this.#lock(client);
      await this.#runMissing(client, queues, done, unasked);
    } finally {
      // The lock belongs to the session and ends with it.
      await this.#database.end(client);
    }
  }

  async #runMissing(client: pg.Client, queues: readonly string[], done: Step[], unasked: boolean): Promise<void> {
    const { schema } = this.#options;
    const isWanted = ({ locks }: Step): boolean => !unasked || locks === undefined || done.some(({ makes }) => makes === locks);
    const find = async () => (await this.#plan(await readSchemaState(client, schema, this.#names(queues)), queues)).filter(isWanted);
    const db = { executeSql: (text: string, values?: unknown[]) => client.query(text, values) };
    const boss = await createBoss({ db, schema, backend: this.#database.facts.backend, migrate: true, logger: this.#logger });
    let started = false;
    try {
      // A queue that is made brings steps of its own, which only its table can tell: look until nothing is missing.
      for (let round = 0; round < 4; round++) {
        const steps = await find();
        if (steps.length === 0) return;
        if (!started) {
          await boss.start();
          started = true;
        }
        for (const step of steps) {
          if (step.run !== undefined) await step.run(boss);
          else for (const sql of step.sql) await client.query(sql);
          done.push(step);
        }
      }
    } finally {
      await boss.stop({ graceful: false, close: false });
    }
    const left = await find();
    if (left.length > 0) throw new TransportError("TRANSPORT_FAILED", `set-up cannot do: ${left.map((step) => step.title).join("; ")}`);
  }

  #names(queues: readonly string[]): string[] {
    return [...new Set([this.#options.deadLetterQueue, ...queues])];
  }

  async #plan(state: SchemaState, queues: readonly string[]): Promise<Step[]> {
    const { schema } = this.#options;
    const steps: Step[] = [];
    if (state.version === null || state.version < BOSS_SCHEMA_VERSION) steps.push(await installStep(schema, state.version));
    else if (state.version > BOSS_SCHEMA_VERSION) throw schemaMismatch(schema, state.version);
    for (const name of state.missingTables) steps.push(tableStep(schema, name, OWN_TABLES[name] ?? ""));
    if (state.lacksForgetting && hasFunctions(this.#database.facts)) steps.push(forgettingStep(schema));
    if (state.lacksFlush && hasFunctions(this.#database.facts)) steps.push(flushStep(schema));
    // The dead-letter queue comes first: the others refer to it.
    for (const name of this.#names(queues)) {
      const found = state.queues.get(name);
      steps.push(...(found === undefined ? [this.#createStep(name)] : this.#queueSteps(found)));
    }
    return steps;
  }

  #createStep(name: string): Step {
    const options = queueOptions(name, this.#options);
    return {
      kind: "queue",
      makes: name,
      title: `create the queue "${name}"`,
      sql: [`SELECT ${this.#options.schema}.create_queue(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(JSON.stringify(options))}::jsonb)`],
      run: (boss) => boss.createQueue(name, options),
    };
  }

  #queueSteps(found: QueueState): Step[] {
    const { schema } = this.#options;
    const steps: Step[] = [];
    const { policy: _, partition: __, ...wanted } = queueOptions(found.name, this.#options);
    const changed = Object.fromEntries(
      Object.entries(wanted).filter(([key, value]) => !isDeepStrictEqual(found.options[key] ?? undefined, value)),
    );
    if (Object.keys(changed).length > 0) {
      steps.push({
        kind: "care",
        title: `set ${Object.keys(changed).join(", ")} of the queue "${found.name}"`,
        sql: [`-- pg-boss updateQueue(${JSON.stringify(found.name)}, ${JSON.stringify(changed)})`],
        run: (boss) => boss.updateQueue(found.name, changed),
      });
    }
    // Rows of unpartitioned queues share a table that is not ours to tune.
    if (!found.partitioned) return steps;
    const table = `${schema}.${found.table}`;
    const keyed = this.#keyed.has(found.name);
    for (const index of [...indexes(found.name, this.#options), ...(keyed ? KEYED_INDEXES : [])]) {
      if (!found.indexes.has(index.suffix)) steps.push(indexStep(schema, found, index));
    }
    if (keyed && !found.keyed) {
      steps.push({
        kind: "schema",
        title: `prepare the queue "${found.name}" for partition and deduplication keys`,
        sql: [keyedTriggers(schema, found.table)],
      });
    }
    if (!found.namesDeadLetters && wanted.deadLetter !== undefined && hasFunctions(this.#database.facts)) {
      steps.push({
        kind: "care",
        locks: found.name,
        title: `let rows of the queue "${found.name}" name their dead letters only when they fail`,
        sql: [`SET LOCAL lock_timeout = ${SHORT_LOCK_MS};\n${failedTrigger(schema, found.table)}`],
      });
    }
    if (!found.cured) steps.push(cureStep(table, found.name));
    const storage = Object.entries(STORAGE).filter(([key, value]) => !found.storage.has(`${key}=${value}`));
    if (storage.length > 0) {
      steps.push({
        kind: "care",
        title: `set the storage parameters of the queue "${found.name}"`,
        sql: [`ALTER TABLE ${table} SET (${storage.map(([key, value]) => `${key} = ${value}`).join(", ")})`],
      });
    }
    return steps;
  }

  /** One set-up per schema at a time. Polls: a wait for a lock would fall under the lock timeout. */
  async #lock(client: pg.Client): Promise<void> {
    // Behind a pooler a session lock would stay with somebody else's connection; there races are repaired by looking again.
    if (this.#database.facts.pooled) return;
    const deadline = this.#runtime.clock.monotonic() + LOCK_PATIENCE_MS;
    for (;;) {
      const { rows } = await client.query<{ locked: boolean }>(
        "SELECT pg_try_advisory_lock(hashtextextended('symphony setup ' || $1, 0)) AS locked",
        [this.#options.schema],
      );
      if (rows[0]?.locked === true) return;
      if (this.#runtime.clock.monotonic() > deadline)
        throw new TransportError("TRANSPORT_UNAVAILABLE", "another process has been setting up for two minutes");
      await this.#pause(LOCK_POLL_MS);
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#runtime.clock.schedule(delayMs, resolve);
    });
  }
}

/** The steps as text: each a comment that says what it is for, and the SQL. */
export const describeSteps = (steps: readonly Step[]): string[] => steps.map((step) => [`-- ${step.title}`, ...step.sql].join("\n"));

/** What to answer when something is missing and must not be made. */
export function missingError(schema: string, steps: readonly Step[], version: number | null = null): TransportError {
  const queues = steps.filter((step) => step.kind === "queue");
  const others = steps.filter((step) => step.kind === "schema");
  const titles = steps.map((step) => step.title);
  if (others.length === 0 && queues.length > 0)
    return new TransportError("QUEUE_NOT_FOUND", `missing in schema "${schema}": ${titles.join("; ")}; run \`symphony setup\``, {
      details: { missing: titles },
    });
  return new TransportError("SCHEMA_VERSION_MISMATCH", `missing in schema "${schema}": ${titles.join("; ")}; run \`symphony setup\``, {
    details: { missing: titles, found: version, expected: BOSS_SCHEMA_VERSION },
  });
}

function schemaMismatch(schema: string, version: number): TransportError {
  return new TransportError(
    "SCHEMA_VERSION_MISMATCH",
    `schema "${schema}" has version ${version}, this code works with ${BOSS_SCHEMA_VERSION}: ${
      version > BOSS_SCHEMA_VERSION ? "update the program" : "run `symphony setup`"
    }`,
    { details: { found: version, expected: BOSS_SCHEMA_VERSION } },
  );
}

async function installStep(schema: string, version: number | null): Promise<Step> {
  const { getConstructionPlans, getMigrationPlans } = await import("pg-boss");
  if (version === null) {
    return {
      kind: "schema",
      title: `install pg-boss, schema version ${BOSS_SCHEMA_VERSION}, in schema "${schema}"`,
      sql: [getConstructionPlans(schema)],
      run: async () => undefined,
    };
  }
  return {
    kind: "schema",
    title: `migrate schema "${schema}" from version ${version} to ${BOSS_SCHEMA_VERSION}`,
    sql: [getMigrationPlans(schema, version)],
    run: async () => undefined,
  };
}

/**
 * Half-filled pages: every beat, every count and every acknowledgement in a bundle finds room beside the row and needs no
 * new index entry. Bundles come and go by the hundred in a second, so they are vacuumed by their number, and what they
 * leave free is kept: giving it back to the disk would lock out everybody.
 */
const tableStep = (schema: string, name: string, columns: string): Step => ({
  kind: "schema",
  title: `create the table ${name}`,
  sql: [
    `CREATE TABLE IF NOT EXISTS ${schema}.${name} (${columns}) WITH (fillfactor = 50)`,
    ...(name === BUNDLE_TABLE ? [`ALTER TABLE ${schema}.${name} ${BUNDLE_STORAGE}`] : []),
  ],
});

/** Others than PostgreSQL itself do not all have such functions. */
const hasFunctions = ({ backend }: Pick<Database["facts"], "backend">): boolean => backend === "postgres" || backend === "citus";

const forgettingStep = (schema: string): Step => ({
  kind: "care",
  title: "create the function that forgets old records of actions",
  sql: [forgetAuditFunction(schema)],
});

/** Takes no lock that anybody could feel. */
const flushStep = (schema: string): Step => ({
  kind: "care",
  title: `create the sequence ${FLUSH_SEQUENCE}, by which a message is picked up while its commit still waits for the disk`,
  sql: [`CREATE SEQUENCE IF NOT EXISTS ${schema}.${FLUSH_SEQUENCE}`],
});

/**
 * Statistics as they must be for a table that holds one queue: one name, and rows at all. A table that was analysed
 * while it held nothing makes the planner expect nothing, for every batch until the next analysis. Nobody sees the row.
 */
const cureStep = (table: string, name: string): Step => ({
  kind: "care",
  title: `give the planner statistics of the queue "${name}"`,
  sql: [
    "BEGIN",
    `ALTER TABLE ${table} ALTER COLUMN name SET (n_distinct = 1)`,
    `INSERT INTO ${table} (name) VALUES (${pg.escapeLiteral(name)})`,
    `ANALYZE ${table}`,
    `DELETE FROM ${table} WHERE name = ${pg.escapeLiteral(name)} AND xmin = pg_current_xact_id()::xid`,
    "COMMIT",
  ],
});

/**
 * A small table is indexed in milliseconds. A large one is indexed beside its traffic, which means waiting for every
 * transaction of before, however long; what an earlier attempt left unfinished goes first.
 */
function indexStep(schema: string, found: QueueState, { suffix, on, isUnique }: IndexLayout): Step {
  const name = `${found.table}${suffix}`;
  const target = `${schema}.${found.table} USING btree ${on}`;
  const drop = found.invalidIndexes.has(suffix) ? [`DROP INDEX IF EXISTS ${schema}.${name}`] : [];
  const what = isUnique === true ? "UNIQUE INDEX" : "INDEX";
  const create = found.small
    ? [`CREATE ${what} IF NOT EXISTS ${name} ON ${target}`]
    : ["SET lock_timeout = 0", `CREATE ${what} CONCURRENTLY IF NOT EXISTS ${name} ON ${target}`, "RESET lock_timeout"];
  return { kind: "care", title: `create an index ${on} for the queue "${found.name}"`, sql: [...drop, ...create] };
}
