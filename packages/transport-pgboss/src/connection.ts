import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { type Logger, type Runtime, type Timer, TransportError } from "@symphony/core";
import pg from "pg";
import { isStartupRefused, isTransient, toTransportError } from "./driver-errors.ts";
import { Listener } from "./listener.ts";
import type { PgBossOptions } from "./options.ts";
import { cut, doubt, preferPlanned, released, transact } from "./pool-clients.ts";

/** SQL with a name of its own, so that each connection parses and plans it once; "" for what is not worth keeping. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Of several queues, so that it takes longer to plan than to run: see `preferPlanned`. */
  readonly isLarge?: boolean;
}

export function statement(label: string, text: string): Statement {
  // The text is part of the name: PostgreSQL refuses one name for two texts, and two schemas share a pool in no program, but in tests.
  return { name: `${label}_${createHash("sha1").update(text).digest("hex").slice(0, 16)}`, text };
}

/** A statement and its parameters. */
export interface Call {
  readonly sql: Statement;
  readonly values: unknown[];
}

export type Row = readonly unknown[];

/** What a statement is run on: a pool, or the client of a transaction. */
export interface Queryable {
  query(config: pg.QueryArrayConfig): Promise<{ rows: Row[] }>;
}

/** What we need to know about the other end before the first statement. */
export interface ServerFacts {
  readonly version: string;
  /** As pg-boss names it. */
  readonly backend: "postgres" | "citus" | "cockroachdb" | "yugabytedb";
  /** Someone hands our statements to connections of theirs: no LISTEN, no prepared statements, no session settings. */
  readonly pooled: boolean;
}

/**
 * For the few statements of ours, whose right plan never changes: look up by index, one row at a time, in the order of
 * the index. Statistics lag behind a queue that fills and drains in seconds, and one plan from a moment when the table
 * seemed empty costs backlog × batch comparisons, or a sort of the backlog. What must be sorted is sorted all the same.
 * `jit` is off since the price that PostgreSQL < 18 puts on a disabled plan would start it.
 */
export const PLANNER_SETTINGS: readonly string[] = [
  "enable_seqscan=off",
  "enable_bitmapscan=off",
  "enable_sort=off",
  "enable_incremental_sort=off",
  "enable_hashjoin=off",
  "enable_mergejoin=off",
  "enable_material=off",
  "plan_cache_mode=force_generic_plan",
  "jit=off",
];

/**
 * How soon the server notices that the other end is gone without a word, with its machine or the network between: within
 * half a minute. By default it takes hours, for which a handler's transaction would keep its locks.
 */
const VANISHED_SETTINGS: readonly string[] = [
  "tcp_keepalives_idle=10",
  "tcp_keepalives_interval=5",
  "tcp_keepalives_count=3",
  "tcp_user_timeout=25000",
];

/**
 * Of the connection that listens: for claims without an acknowledgement, which do not wait for the disk (see
 * `fewStatement`). Nothing is heard while one waits for a lock, as of somebody who changes the table, so it makes way: another
 * connection can wait.
 */
const LISTENER_SETTINGS: readonly string[] = [...PLANNER_SETTINGS, "synchronous_commit=off", "lock_timeout=100"];

/** Tries of a statement that PostgreSQL rolled back because of others (deadlock, serialization). */
const TRANSIENT_TRIES = 4;

/** Milliseconds for one idle connection to say good-bye. */
const END_MS = 1_000;

export interface DatabaseInput {
  readonly connectionString: string;
  /** Start-up settings that the DSN asked for. */
  readonly startup: string;
  readonly options: PgBossOptions;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** An audited action in progress: its statements, whoever issues them, belong to one transaction. */
interface Action {
  readonly id: string;
  readonly client: pg.PoolClient;
  /** What it leaves behind (timers, flushes) is not part of it any more. */
  isOpen: boolean;
}

/** Owns every connection of one transport. Connections are opened when they are needed and end with `close`. */
export class Database {
  readonly #input: DatabaseInput;
  #facts: ServerFacts | undefined;
  #main: pg.Pool | undefined;
  #beats: pg.Pool | undefined;
  #transactions: pg.Pool | undefined;
  #lookups: pg.Pool | undefined;
  readonly listener = new Listener();
  readonly #clients = new Set<pg.PoolClient>();
  readonly #actions = new AsyncLocalStorage<Action>();
  #closing: Promise<void> | undefined;

  constructor(input: DatabaseInput) {
    this.#input = input;
  }

  /** @throws {TransportError} `TRANSPORT_UNAVAILABLE` when the server cannot be reached. */
  async open(): Promise<ServerFacts> {
    this.#facts ??= await this.#examine();
    return this.#facts;
  }

  get facts(): ServerFacts {
    if (this.#facts === undefined) throw new TransportError("TRANSPORT_FAILED", "the transport was not opened");
    return this.#facts;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Sending, receiving and settling. */
  get main(): pg.Pool {
    // A pipeline, for what `change` sends behind a statement. All else goes one by one.
    this.#main ??= this.#pool(this.#input.options.poolSize, { ...this.sessionConfig(PLANNER_SETTINGS), pipeline: true });
    return this.#main;
  }

  /** One connection for beats alone, so that a lease never waits for a claim. */
  get beats(): pg.Pool {
    this.#beats ??= this.#pool(1, this.sessionConfig(PLANNER_SETTINGS));
    return this.#beats;
  }

  /** Handlers' transactions: they last as long as handlers do, and must not take the connections that claims need. */
  get transactions(): pg.Pool {
    this.#transactions ??= this.#pool(this.#input.options.poolSize, this.plainConfig());
    return this.#transactions;
  }

  /** What pg-boss looks up by itself, also while a transaction of ours waits for it: never the pool that such transactions use up. */
  get lookups(): pg.Pool {
    this.#lookups ??= this.#pool(1, this.sessionConfig());
    return this.#lookups;
  }

  /** A connection that is to listen; not connected yet. */
  listeningClient(): pg.Client {
    return this.client({ ...this.sessionConfig(LISTENER_SETTINGS), pipeline: true });
  }

  /** Runs a claim on the connection that listens, while that is free. */
  async claimWhereHeard(sql: Statement, values: unknown[], doing: string): Promise<Row[]> {
    this.#assertOpen(doing);
    try {
      return await this.listener.claim(this.query({ sql, values }));
    } catch (error) {
      // The others have been idle for as long as this one.
      doubt(this.main, error);
      throw toTransportError(error, doing);
    }
  }

  /** Runs a statement of ours and resolves with its rows as arrays. */
  async run(sql: Statement, values: unknown[], doing: string, on: Queryable = this.joined ?? this.main): Promise<Row[]> {
    this.#assertOpen(doing);
    for (let tries = 1; ; tries++) {
      try {
        if (sql.isLarge === true && on instanceof pg.Pool) preferPlanned(on, sql.name);
        return (await on.query(this.query({ sql, values }))).rows;
      } catch (error) {
        if (on instanceof pg.Pool) doubt(on, error);
        // In a transaction of somebody else a repetition cannot help: it is aborted as a whole.
        if (tries < TRANSIENT_TRIES && isTransient(error) && on instanceof pg.Pool) continue;
        throw toTransportError(error, doing);
      }
    }
  }

  /**
   * Runs a statement of ours outside of any action, once, and resolves with the number of rows that it `changed`.
   *
   * @param behind - Goes out on the same connection before the first one has answered, in a commit of its own; what
   *   becomes of it is told by `followed`, to whoever asks.
   */
  async change(call: Call, doing: string, behind?: Call): Promise<{ readonly changed: number; readonly followed: () => Promise<void> }> {
    this.#assertOpen(doing);
    const failed = (error: unknown): never => {
      doubt(this.main, error);
      throw toTransportError(error, doing);
    };
    try {
      if (behind === undefined)
        return { changed: (await this.main.query(this.query(call))).rowCount ?? 0, followed: async () => undefined };
      const client = await this.main.connect();
      const [first, second] = [call, behind].map((each) => client.query(this.query(each)));
      void released(client, [first, second]);
      const changed = (await first)?.rowCount ?? 0;
      return { changed, followed: async () => void (await second?.catch(failed)) };
    } catch (error) {
      return failed(error);
    }
  }

  /** Id of the audited action that the caller is part of. */
  get action(): string | undefined {
    return this.#current()?.id;
  }

  /** The connection of that action. */
  get joined(): pg.PoolClient | undefined {
    return this.#current()?.client;
  }

  #current(): Action | undefined {
    const action = this.#actions.getStore();
    return action?.isOpen === true ? action : undefined;
  }

  /**
   * Runs `work` in a transaction that every statement joins which is issued on its way, by whatever part of the
   * transport; repeats it when PostgreSQL rolled it back because of others.
   */
  async inAction<T>(doing: string, id: string, work: () => Promise<T>): Promise<T> {
    let thrown: unknown;
    try {
      return await this.inTransaction(doing, async (client) => {
        const action: Action = { id, client, isOpen: true };
        try {
          return await this.#actions.run(action, work);
        } catch (error) {
          thrown = error;
          throw error;
        } finally {
          action.isOpen = false;
        }
      });
    } catch (error) {
      // What is wrong with the work itself is no fault of the database.
      throw thrown !== undefined && (error as { cause?: unknown }).cause === thrown ? thrown : error;
    }
  }

  /**
   * Runs `work` in a transaction on a connection of the main pool; repeats it when PostgreSQL rolled it back because of
   * others. In an audited action it is part of that one's.
   */
  async inTransaction<T>(doing: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    this.#assertOpen(doing);
    const { joined } = this;
    if (joined !== undefined) return work(joined);
    for (let tries = 1; ; tries++) {
      try {
        return await transact(this.main, work);
      } catch (error) {
        const cause = (error as { cause?: unknown }).cause ?? error;
        if (tries < TRANSIENT_TRIES && isTransient(cause)) continue;
        throw toTransportError(error, doing);
      }
    }
  }

  /** The driver's form of a statement. Behind a pooler it goes without a name: the next connection would not know it. */
  query({ sql, values }: Call): pg.QueryArrayConfig {
    const named = this.facts.pooled || sql.name === "" ? {} : { name: sql.name };
    return { ...named, text: sql.text, values, rowMode: "array" };
  }

  /** A connection of one's own, not connected yet. */
  client(config: pg.ClientConfig): pg.Client {
    return new pg.Client(config);
  }

  /** Connection for our own statements: bounded in time at both ends. */
  sessionConfig(settings: readonly string[] = []): pg.ClientConfig {
    const { statementTimeoutMs } = this.#input.options;
    // The server gives up first: then it is known that nothing was done.
    const serverMs = statementTimeoutMs - Math.min(500, Math.floor(statementTimeoutMs / 10));
    return { ...this.plainConfig([`statement_timeout=${serverMs}`, ...settings]), query_timeout: statementTimeoutMs };
  }

  /** Connection for what takes as long as it takes: handlers' transactions, set-up. */
  plainConfig(settings: readonly string[] = []): pg.ClientConfig {
    const { connectionString, startup, options } = this.#input;
    const flags = (some: readonly string[]): readonly string[] => some.map((setting) => `-c ${setting}`);
    const vanished = this.#facts?.backend === "postgres" || this.#facts?.backend === "citus" ? VANISHED_SETTINGS : [];
    // What the DSN asks for comes later, and wins.
    const always = options.readOnly ? ["default_transaction_read_only=on"] : [];
    const all = [...flags(vanished), startup, ...flags([...always, ...settings])].filter((part) => part !== "").join(" ");
    const withSettings = this.#facts?.pooled === true ? startup : all;
    return {
      connectionString,
      application_name: options.applicationName,
      connectionTimeoutMillis: options.connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      ...(withSettings === "" ? {} : { options: withSettings }),
    };
  }

  /** Ends a connection of `client`. Never fails, and never waits long for the other end, unless it has to answer a claim. */
  async end(client: pg.Client): Promise<void> {
    const waitMs = this.listener.isBusy(client) ? this.#input.options.statementTimeoutMs : END_MS;
    await this.#within(waitMs, client.end(), () => cut(client));
  }

  /** Ends every connection. What is under way gets the time that a statement may take. Idempotent. */
  close(): Promise<void> {
    const pools = [this.#main, this.#beats, this.#transactions, this.#lookups];
    this.#closing ??= this.#within(this.#input.options.statementTimeoutMs, Promise.all(pools.map((pool) => pool?.end())), () => {
      this.#input.logger.warn({ connections: this.#clients.size }, "database connections did not end in time and were cut");
      for (const client of this.#clients) cut(client);
    });
    return this.#closing;
  }

  /** Waits for an end; does it the hard way after `ms` milliseconds, since a connection that is half open never ends by itself. */
  async #within(ms: number, ending: Promise<unknown>, force: () => void): Promise<void> {
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#input.runtime.clock.schedule(ms, () => {
        force();
        resolve();
      });
    });
    const ended = ending.catch((error: unknown) => this.#input.logger.debug({ err: error }, "a connection did not end cleanly"));
    await Promise.race([ended, late]);
    timer?.cancel();
  }

  #assertOpen(doing: string): void {
    if (this.#closing !== undefined) throw new TransportError("TRANSPORT_FAILED", `the transport was closed before ${doing}`);
  }

  #pool(max: number, config: pg.ClientConfig): pg.Pool {
    this.#assertOpen("connecting");
    const pool = new pg.Pool({ ...config, max });
    // The pool replaces the connection; without a listener the process would end.
    pool.on("connect", (client) => this.#clients.add(client));
    pool.on("remove", (client) => this.#clients.delete(client));
    pool.on("error", (error) => this.#input.logger.debug({ err: error }, "an idle database connection was lost"));
    return pool;
  }

  async #examine(): Promise<ServerFacts> {
    try {
      return await this.#ask(this.sessionConfig(PLANNER_SETTINGS), false);
    } catch (error) {
      if (!isStartupRefused(error)) throw toTransportError(error, "connecting");
    }
    try {
      const { options: _, ...bare } = this.plainConfig();
      return await this.#ask(this.#input.startup === "" ? bare : { ...bare, options: this.#input.startup }, true);
    } catch (error) {
      throw toTransportError(error, "connecting");
    }
  }

  async #ask(config: pg.ClientConfig, startupRefused: boolean): Promise<ServerFacts> {
    const client = this.client(config);
    client.on("error", (error) => this.#input.logger.debug({ err: error }, "the first database connection was lost"));
    try {
      await client.connect();
      const { rows } = await client.query<[number, string, boolean]>({
        text: "SELECT pg_backend_pid(), version(), EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')",
        rowMode: "array",
      });
      const [pid, version, citus] = rows[0] ?? [0, "", false];
      // PostgreSQL tells its process id when a connection starts; a pooler makes one up.
      const told = (client as unknown as { processID?: number }).processID;
      return { version, backend: backendOf(version, citus), pooled: startupRefused || told !== pid };
    } finally {
      await this.end(client);
    }
  }
}

function backendOf(version: string, citus: boolean): ServerFacts["backend"] {
  if (/cockroach/i.test(version)) return "cockroachdb";
  if (/yugabyte|-yb-/i.test(version)) return "yugabytedb";
  return citus ? "citus" : "postgres";
}
