import type { Receipt, Received, Serializer } from "@symphony/core";
import { Acknowledgements, unsettled } from "./acknowledgement.ts";
import { type ClaimNeeds, claimStatement, readyStatement } from "./claim-statement.ts";
import type { Database, Row, Statement } from "./connection.ts";
import { type Burial, type Claimed, type ClaimRequest, type GiveBack, type Lane, nameOf, type QueueReceipts } from "./lane.ts";
import type { LostClaims } from "./lost-claims.ts";
import type { PgBossOptions } from "./options.ts";
import type { QueueInfo } from "./queues.ts";
import { toReceived } from "./row-codec.ts";
import { deadLetter, giveBack } from "./statements.ts";

/** Queues in one claim statement. More make it slow to plan, and few queues have messages at the same time. */
const QUEUES_PER_CLAIM = 8;

/** Our own statements on pg-boss's tables. */
export class FastLane implements Lane {
  readonly tellsEpoch = true;
  readonly #database: Database;
  readonly #options: PgBossOptions;
  readonly #serializer: Serializer;
  readonly #lost: LostClaims;
  readonly #statements = new Map<string, Statement>();

  constructor(database: Database, options: PgBossOptions, serializer: Serializer, lost: LostClaims) {
    this.#database = database;
    this.#options = options;
    this.#serializer = serializer;
    this.#lost = lost;
  }

  async claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    const received: Received[] = [];
    const candidates = queues.length <= QUEUES_PER_CLAIM ? queues : await this.#readyAmong(queues);
    const groups = inGroups(candidates, QUEUES_PER_CLAIM);
    const first = new Set(groups[0] ?? []);
    const settled = new Set(await this.acknowledge(request.acknowledge.filter((each) => !first.has(each.queue))));
    let riding = request.acknowledge.filter((each) => first.has(each.queue));
    let left = request.max;
    let controlEpoch: number | null | undefined;
    for (const group of groups) {
      const acknowledgements = new Acknowledgements(group, riding);
      const rows = await this.#runClaim(group, { ...request, max: left }, acknowledgements).catch((error: unknown) => {
        // What the groups before it gave is in flight, and must not be forgotten for the sake of this one.
        if (received.length === 0) throw error;
        return undefined;
      });
      if (rows === undefined) break;
      for (const name of await this.#lookAgain(riding, acknowledgements.settled(rows))) settled.add(name);
      riding = [];
      // Acknowledgements come first, whether there were any or not.
      controlEpoch = rows[0]?.[3] as number | null | undefined;
      for (const row of rows) {
        const queue = group[row[0] as number];
        if (queue !== undefined) received.push(toReceived(row, queue.name, this.#serializer));
      }
      left = request.max - received.length;
      // With a limit of bytes it is not known which of the two ran out: then nothing of a later queue may be taken.
      if (left <= 0 || (received.length > 0 && Number.isFinite(request.maxBytes))) break;
    }
    return controlEpoch === undefined ? { received, settled } : { received, settled, controlEpoch };
  }

  async acknowledge(groups: readonly QueueReceipts[]): Promise<ReadonlySet<string>> {
    const settled = new Set<string>();
    for (const some of inGroups(groups, QUEUES_PER_CLAIM)) {
      for (const name of await this.#lookAgain(some, await this.#acknowledge(some, true))) settled.add(name);
    }
    return settled;
  }

  giveBack(queue: QueueInfo, items: readonly GiveBack[]): Promise<ReadonlySet<string>> {
    const sql = this.#statement(`give back ${queue.name}`, () => giveBack(this.#options.schema, queue, this.#options.synchronousCommit));
    return twice(items, async (some) => {
      const rows = some.map(({ receipt, delayMs, patch }, i) => ({ i, id: receipt.id, rc: receipt.fence, delay: delayMs, patch }));
      return this.#database.run(sql, [JSON.stringify(rows)], "giving messages back");
    });
  }

  deadLetter(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<ReadonlySet<string>> {
    const sql = this.#statement(`dead letter ${queue.name}`, () => deadLetter(this.#options.schema, queue, dead));
    return twice(items, async (some) => {
      const rows = some.map(({ receipt, failure, patch }, i) => ({ i, id: receipt.id, rc: receipt.fence, failure, patch }));
      return this.#database.run(sql, [JSON.stringify(rows)], "dead-lettering messages");
    });
  }

  async #runClaim(queues: readonly QueueInfo[], request: ClaimRequest, acknowledgements: Acknowledgements): Promise<Row[]> {
    const { workerId, max, maxBytes } = request;
    const bounded = Number.isFinite(maxBytes);
    const sql = this.#claimStatement(queues, { acknowledgeOnly: false, kept: acknowledgements.anyKept, bounded });
    const values = (claim: number) => [workerId, max, claim, bounded ? Math.floor(maxBytes) : 0, ...acknowledgements.parameters];
    return this.#lost.watch(workerId, queues, (claim) => this.#database.run(sql, values(claim), "receiving messages"));
  }

  async #acknowledge(groups: readonly QueueReceipts[], sure: boolean): Promise<Set<string>> {
    const queues = groups.map((each) => each.queue);
    const acknowledgements = new Acknowledgements(queues, groups, sure);
    const sql = this.#claimStatement(queues, { acknowledgeOnly: true, kept: acknowledgements.anyKept, bounded: false });
    const rows = await this.#database.run(sql, ["", 0, 0, 0, ...acknowledgements.parameters], "acknowledging messages");
    return acknowledgements.settled(rows);
  }

  /**
   * Asks once more for receipts that took no effect, before anybody is told that a lease is lost: a row that somebody
   * else changed in the same moment, without taking the message over, is not found where it was; and a row with an
   * idempotency key is not found by a receipt that does not tell.
   */
  async #lookAgain(groups: readonly QueueReceipts[], settled: Set<string>): Promise<Set<string>> {
    const left = unsettled(groups, settled);
    if (left.length > 0) for (const name of await this.#acknowledge(left, false)) settled.add(name);
    return settled;
  }

  /** Which of many queues have something ready: one statement, where as many claims would be as many round trips. */
  async #readyAmong(queues: readonly QueueInfo[]): Promise<QueueInfo[]> {
    const key = `ready ${queues.map((queue) => queue.name).join()}`;
    const sql = this.#statement(key, () => readyStatement(this.#options.schema, queues));
    const rows = await this.#database.run(sql, [], "looking for messages");
    return rows.map((row) => queues[row[0] as number] as QueueInfo);
  }

  #claimStatement(queues: readonly QueueInfo[], needs: Omit<ClaimNeeds, "queues" | "commit">): Statement {
    const { acknowledgeOnly, kept, bounded } = needs;
    const { schema, synchronousCommit } = this.#options;
    const key = `${acknowledgeOnly} ${kept} ${bounded} ${queues.map((queue) => queue.name).join()}`;
    return this.#statement(key, () => claimStatement(schema, { ...needs, queues, commit: synchronousCommit }));
  }

  #statement(key: string, make: () => Statement): Statement {
    const known = this.#statements.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#statements.set(key, made);
    return made;
  }
}

/** As `lookAgain`: those that took no effect get a second chance. Rows are positions in what was given. */
async function twice<T extends { readonly receipt: Receipt }>(
  items: readonly T[],
  run: (some: readonly T[]) => Promise<Row[]>,
): Promise<ReadonlySet<string>> {
  const settled = new Set<string>();
  const names = (some: readonly T[], rows: readonly Row[]): string[] => rows.map((row) => nameOf((some[row[0] as number] as T).receipt));
  for (const name of names(items, await run(items))) settled.add(name);
  const left = items.filter((item) => !settled.has(nameOf(item.receipt)));
  if (left.length > 0) for (const name of names(left, await run(left))) settled.add(name);
  return settled;
}

function inGroups<T>(items: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let i = 0; i < items.length; i += size) groups.push(items.slice(i, i + size));
  return groups;
}
