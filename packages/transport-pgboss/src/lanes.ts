import type { Logger, Runtime, Serializer } from "@symphony/core";
import { BOSS_SCHEMA_VERSION } from "./boss.ts";
import type { Bundles } from "./bundles.ts";
import type { Database } from "./connection.ts";
import { FastLane } from "./fast-lane.ts";
import type { RowStore } from "./inserter.ts";
import type { Lane } from "./lane.ts";
import { LostClaims } from "./lost-claims.ts";
import type { Notifier } from "./notifier.ts";
import type { PgBossOptions } from "./options.ts";
import { PortableLane } from "./portable-lane.ts";
import { createPortableRowStore } from "./portable-store.ts";
import { PublicApi } from "./public-api.ts";
import { FAST_PATH_SCHEMA_VERSION, type QueueDirectory, type QueueInfo } from "./queues.ts";
import { createFastRowStore } from "./row-store.ts";
import { TurnLane } from "./turn-lane.ts";

export interface LanesInput {
  readonly database: Database;
  readonly options: PgBossOptions;
  readonly serializer: Serializer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly notifier: Notifier;
  readonly bundles: Bundles;
  readonly queues: QueueDirectory;
}

/** Chooses the way for each queue: our own statements only where they are known to fit. */
export class Lanes {
  readonly #input: LanesInput;
  readonly #api: PublicApi;
  readonly #fast: FastLane;
  readonly #portable: Lane;
  /** The same for queues with partition keys. */
  readonly #inTurn: ReadonlyMap<Lane, Lane>;
  readonly store: RowStore;

  constructor(input: LanesInput) {
    const { database, options, serializer, runtime, logger } = input;
    this.#input = input;
    this.#api = new PublicApi(database, options.schema, logger);
    const { schema, statementTimeoutMs } = options;
    const lost = new LostClaims({ database, schema, statementTimeoutMs, runtime, logger });
    this.#fast = new FastLane(input, lost);
    this.#portable = new PortableLane(this.#api, database, schema, serializer, lost, input.bundles);
    const inTurn = (lane: Lane): Lane => new TurnLane(lane, { database, notifier: input.notifier, schema: options.schema });
    this.#inTurn = new Map([this.#fast, this.#portable].map((lane): [Lane, Lane] => [lane, inTurn(lane)]));
    const [fast, portable] = [
      createFastRowStore(database, options.schema, input.queues),
      createPortableRowStore(this.#api, database, options.schema, input.queues),
    ];
    const store = (): RowStore => (this.#fits() ? fast : portable);
    this.store = {
      insertNew: (rows, notification) => store().insertNew(rows, notification),
      insert: (rows, on) => store().insert(rows, on),
      compare: (rows, on) => store().compare(rows, on),
      revive: (rows, on) => store().revive(rows, on),
    };
  }

  of(queue: QueueInfo): Lane {
    const lane = this.#fits() && queue.policy === "standard" ? this.#fast : this.#portable;
    return queue.keyed ? (this.#inTurn.get(lane) ?? lane) : lane;
  }

  /** A notification says that these queues have something. */
  woken(queues: readonly string[]): void {
    this.#fast.ready.woken(queues);
  }

  close(): Promise<void> {
    return this.#api.close();
  }

  #fits(): boolean {
    const { options, database } = this.#input;
    return options.path === "auto" && database.facts.backend === "postgres" && BOSS_SCHEMA_VERSION === FAST_PATH_SCHEMA_VERSION;
  }
}
