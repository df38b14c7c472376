import type { Logger } from "@symphony/core";
import pg from "pg";
import type { PgBoss } from "pg-boss";
import { type BossDatabase, createBoss } from "./boss.ts";
import { AdaptedTransaction } from "./caller-transaction.ts";
import type { Database, Queryable } from "./connection.ts";
import { toTransportError } from "./driver-errors.ts";

const JSONB_OID = 3802;

/** pg-boss on our connections, started when it is first needed. Every call that matters names its `db`. */
export class PublicApi {
  readonly #database: Database;
  readonly #schema: string;
  readonly #logger: Logger;
  #boss: Promise<PgBoss> | undefined;

  constructor(database: Database, schema: string, logger: Logger) {
    this.#database = database;
    this.#schema = schema;
    this.#logger = logger;
  }

  /** Calls pg-boss; its errors become ours. */
  async call<T>(doing: string, work: (boss: PgBoss) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#start());
    } catch (error) {
      throw toTransportError(error, doing);
    }
  }

  async close(): Promise<void> {
    const boss = await this.#boss?.catch(() => undefined);
    await boss?.stop({ graceful: false, close: false });
  }

  #start(): Promise<PgBoss> {
    this.#boss ??= this.#begin().catch((error: unknown) => {
      this.#boss = undefined;
      throw error;
    });
    return this.#boss;
  }

  async #begin(): Promise<PgBoss> {
    const { facts } = this.#database;
    const db: BossDatabase = { executeSql: (text, values) => this.#database.lookups.query(text, values) };
    const boss = await createBoss({ db, schema: this.#schema, backend: facts.backend, migrate: false, logger: this.#logger });
    await boss.start();
    return boss;
  }
}

/** What pg-boss takes to work in a transaction of ours, or of the caller. */
export const bossDatabase = (client: pg.ClientBase | pg.Pool | Queryable): BossDatabase =>
  client instanceof AdaptedTransaction ? client.adapter : { executeSql: (text, values) => (client as pg.ClientBase).query(text, values) };

/** The same, with JSON and times as the text that PostgreSQL sends: nothing of a record is lost on the way through JavaScript. */
export const rawBossDatabase = (client: pg.ClientBase): BossDatabase => ({
  executeSql: (text, values) =>
    client.query({
      text,
      values,
      types: {
        getTypeParser: ((oid: number, format?: "text") =>
          oid === JSONB_OID || oid === pg.types.builtins.TIMESTAMPTZ
            ? (value: string) => value
            : pg.types.getTypeParser(oid, format ?? "text")) as pg.CustomTypesConfig["getTypeParser"],
      },
    } as pg.QueryConfig),
});
