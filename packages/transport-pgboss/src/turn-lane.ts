import { anyReadyStatement } from "./claim-statement.ts";
import type { Database, Statement } from "./connection.ts";
import type { Burial, Claimed, ClaimRequest, GiveBack, Lane, QueueReceipts, Settlements } from "./lane.ts";
import type { Notifier } from "./notifier.ts";
import type { QueueInfo } from "./queues.ts";

/** Claims that may come back empty although something is ready, before the worker is told that there is nothing. */
const ROUNDS = 50;

/**
 * A lane for queues with partition keys. The rule is kept by the database (see `keyed-queues.ts`); here it is made
 * quick: what ends lets the next one of its key in, so it is recorded before the claim and not with it, and others are
 * told; and a claim that met only messages behind others, which are out of its way now, is repeated.
 */
export class TurnLane implements Lane {
  readonly #lane: Lane;
  readonly #database: Database;
  readonly #notifier: Notifier;
  readonly #schema: string;
  readonly #anyReady = new Map<string, Statement>();

  constructor(lane: Lane, input: { database: Database; notifier: Notifier; schema: string }) {
    this.#lane = lane;
    this.#database = input.database;
    this.#notifier = input.notifier;
    this.#schema = input.schema;
  }

  get tellsEpoch(): boolean {
    return this.#lane.tellsEpoch;
  }

  async claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    const settled = await this.acknowledge(request.acknowledge);
    for (let round = 1; ; round++) {
      const claimed = await this.#lane.claim(queues, { ...request, acknowledge: [], isBeside: false });
      if (claimed.received.length > 0 || round === ROUNDS || !(await this.#isAnyReady(queues))) return { ...claimed, settled };
    }
  }

  async acknowledge(groups: readonly QueueReceipts[]): Promise<Settlements> {
    if (groups.length === 0) return new Set();
    const settled = await this.#lane.acknowledge(groups);
    if (settled.size > 0) this.#notifier.notify(groups.map((each) => each.queue.name));
    return settled;
  }

  giveBack(queue: QueueInfo, items: readonly GiveBack[]): Promise<Settlements> {
    return this.#lane.giveBack(queue, items);
  }

  async deadLetter(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<Settlements> {
    const settled = await this.#lane.deadLetter(queue, dead, items);
    if (settled.size > 0) this.#notifier.notify([queue.name]);
    return settled;
  }

  async #isAnyReady(queues: readonly QueueInfo[]): Promise<boolean> {
    const key = queues.map((queue) => queue.name).join();
    const sql = this.#anyReady.get(key) ?? anyReadyStatement(this.#schema, queues);
    this.#anyReady.set(key, sql);
    return (await this.#database.run(sql, [], "looking for messages"))[0]?.[0] === true;
  }
}
