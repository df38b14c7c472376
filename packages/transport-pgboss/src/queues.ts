import { isDeepStrictEqual } from "node:util";
import { type Runtime, TransportError } from "@symphony/core";
import { type Database, type Statement, statement } from "./connection.ts";
import { FAILED_TRIGGER } from "./failed-trigger.ts";
import { FLUSH_SEQUENCE } from "./flush.ts";
import { KEYED_TRIGGER } from "./keyed-queues.ts";

/** Version of pg-boss's tables that the fast statements were written against (pg-boss 12.35.0). */
export const FAST_PATH_SCHEMA_VERSION = 43;

/** A queue as pg-boss knows it. */
export interface QueueInfo {
  readonly name: string;
  /** Where its rows are; a partition of its own, or `job_common`. */
  readonly table: string;
  readonly policy: string;
  readonly partitioned: boolean;
  /** Prepared for partition and deduplication keys. */
  readonly keyed: boolean;
  /** Has the trigger that names the queue of dead letters in a row that fails. */
  readonly namesDeadLetters: boolean;
  /** The sequence of `flush` is there, and ours to set. */
  readonly hasFlush: boolean;
}

/** Milliseconds until queues that others made are seen by a worker that takes from all; every process of an idle fleet asks. */
const FRESH_MS = 10_000;

/** Which queues there are. Asked of the database seldom: queues are made by set-up, not by the hour. */
export class QueueDirectory {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #deadLetterQueue: string;
  readonly #preferred: readonly string[];
  readonly #select: Statement;
  #queues: ReadonlyMap<string, QueueInfo> = new Map();
  /** Of those, in their order; until they are read again. */
  #all: readonly QueueInfo[] | undefined;
  #loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;

  /** @param preferred - Queues that come first where no order is given. */
  constructor(database: Database, runtime: Runtime, schema: string, deadLetterQueue: string, preferred: readonly string[]) {
    this.#database = database;
    this.#runtime = runtime;
    this.#deadLetterQueue = deadLetterQueue;
    this.#preferred = preferred;
    // pg-boss keeps queues of its own, whose names begin with two underscores.
    const has = (trigger: string): string =>
      `EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = to_regclass('${schema}.' || table_name) AND t.tgname = '${trigger}')`;
    this.#select = statement(
      "queues",
      `SELECT name, table_name, policy, partition, ${has(KEYED_TRIGGER)}, ${has(FAILED_TRIGGER)},
         coalesce(has_sequence_privilege(to_regclass('${schema}.${FLUSH_SEQUENCE}'), 'UPDATE'), false)
       FROM ${schema}.queue WHERE left(name, 2) <> '__' ORDER BY name`,
    );
  }

  /** @throws {TransportError} `QUEUE_NOT_FOUND` */
  async get(name: string): Promise<QueueInfo> {
    const found = await this.find(name);
    if (found === undefined) throw queueNotFound(name);
    return found;
  }

  /** What is known without asking. */
  peek(name: string): QueueInfo | undefined {
    return this.#queues.get(name);
  }

  /** The queue, also one that was made a moment ago. */
  async find(name: string): Promise<QueueInfo | undefined> {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    await this.refresh();
    return this.#queues.get(name);
  }

  /** Every queue but the one of dead letters. */
  async all(): Promise<readonly QueueInfo[]> {
    if (this.#runtime.clock.monotonic() - this.#loadedAt > FRESH_MS) await this.refresh();
    if (this.#all === undefined) {
      const names = [...new Set([...this.#preferred, ...this.#queues.keys()])];
      this.#all = names.filter((name) => name !== this.#deadLetterQueue).flatMap((name) => this.#queues.get(name) ?? []);
    }
    return this.#all;
  }

  async deadLetters(): Promise<QueueInfo> {
    return this.get(this.#deadLetterQueue);
  }

  /** Names that are known without asking. */
  get known(): readonly string[] {
    return [...this.#queues.keys()].filter((name) => name !== this.#deadLetterQueue);
  }

  refresh(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    const rows = await this.#database.run(this.#select, [], "reading the queues");
    this.#queues = new Map(
      rows.map((row) => {
        const [name, table, policy, ...facts] = row as [string, string, string, ...boolean[]];
        const [partitioned = false, keyed = false, namesDeadLetters = false, hasFlush = false] = facts;
        const found: QueueInfo = { name, table, policy, partitioned, keyed, namesDeadLetters, hasFlush };
        const before = this.#queues.get(name);
        // The same object as long as nothing changed: callers hold it across refreshes.
        return [name, before !== undefined && isDeepStrictEqual(before, found) ? before : found];
      }),
    );
    this.#all = undefined;
    this.#loadedAt = this.#runtime.clock.monotonic();
  }
}

export const queueNotFound = (name: string): TransportError =>
  new TransportError("QUEUE_NOT_FOUND", `the queue "${name}" does not exist: run \`symphony setup\``, { details: { queue: name } });
