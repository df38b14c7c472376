import { MessengerError, type Receipt, type Received, type Runtime, type Serializer } from "@symphony/core";
import { Acknowledgements, unsettled } from "./acknowledgement.ts";
import { type ClaimNeeds, claimStatement, readyStatement } from "./claim-statement.ts";
import type { Database, Row, Statement } from "./connection.ts";
import { type Burial, type Claimed, type ClaimRequest, type GiveBack, type Lane, nameOf, type QueueReceipts } from "./lane.ts";
import type { PgBossOptions } from "./options.ts";
import type { QueueInfo } from "./queues.ts";
import { toReceived } from "./row-codec.ts";
import { deadLetter, forgetClaims, giveBack } from "./statements.ts";

/** Queues in one claim statement. More make it slow to plan, and few queues have messages at the same time. */
const QUEUES_PER_CLAIM = 8;

/** A claim whose answer did not come: its messages would stay with us, who do not know of them. */
interface LostClaim {
  readonly claim: number;
  readonly workerId: string;
  readonly queues: readonly QueueInfo[];
  readonly at: number;
}

/** Our own statements on pg-boss's tables. */
export class FastLane implements Lane {
  readonly tellsPauses = true;
  readonly #database: Database;
  readonly #options: PgBossOptions;
  readonly #serializer: Serializer;
  readonly #runtime: Runtime;
  readonly #statements = new Map<string, Statement>();
  #lost: LostClaim[] = [];
  #claims: number;

  constructor(database: Database, options: PgBossOptions, serializer: Serializer, runtime: Runtime) {
    this.#database = database;
    this.#options = options;
    this.#serializer = serializer;
    this.#runtime = runtime;
    // Unlike those of another transport of the same worker.
    this.#claims = Math.floor(runtime.random() * 2 ** 31);
  }

  async claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    await this.#forgetLost();
    const received: Received[] = [];
    const candidates = queues.length <= QUEUES_PER_CLAIM ? queues : await this.#readyAmong(queues);
    const groups = inGroups(candidates, QUEUES_PER_CLAIM);
    const first = new Set(groups[0] ?? []);
    const settled = new Set(await this.acknowledge(request.acknowledge.filter((each) => !first.has(each.queue))));
    let riding = request.acknowledge.filter((each) => first.has(each.queue));
    let left = request.max;
    let pauseEpoch: number | null | undefined;
    for (const group of groups) {
      const acknowledgements = new Acknowledgements(group, riding);
      const rows = await this.#runClaim(group, { ...request, max: left }, acknowledgements);
      for (const name of await this.#lookAgain(riding, acknowledgements.settled(rows))) settled.add(name);
      riding = [];
      // Acknowledgements come first, whether there were any or not.
      pauseEpoch = rows[0]?.[3] as number | null | undefined;
      for (const row of rows) {
        const queue = group[row[0] as number];
        if (queue !== undefined) received.push(toReceived(row, queue.name, this.#serializer));
      }
      left = request.max - received.length;
      // With a limit of bytes it is not known which of the two ran out: then nothing of a later queue may be taken.
      if (left <= 0 || (received.length > 0 && Number.isFinite(request.maxBytes))) break;
    }
    return pauseEpoch === undefined ? { received, settled } : { received, settled, pauseEpoch };
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
    this.#claims += 1;
    const claim = this.#claims;
    const values = [workerId, max, claim, bounded ? Math.floor(maxBytes) : 0, ...acknowledgements.parameters];
    try {
      return await this.#database.run(sql, values, "receiving messages");
    } catch (error) {
      if (error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE")
        this.#lost.push({ claim, workerId, queues, at: this.#runtime.clock.monotonic() });
      throw error;
    }
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

  /**
   * Gives back what was claimed for us without our hearing of it; a live worker's leases do not run out by themselves.
   * Not before the server has given up on the statement: it may still be about to claim.
   */
  async #forgetLost(): Promise<void> {
    if (this.#lost.length === 0) return;
    const before = this.#runtime.clock.monotonic() - this.#options.statementTimeoutMs;
    const due = this.#lost.filter((each) => each.at <= before);
    if (due.length === 0) return;
    for (const queue of new Set(due.flatMap((each) => each.queues))) {
      const sql = this.#statement(`forget ${queue.name}`, () => forgetClaims(this.#options.schema, queue));
      for (const workerId of new Set(due.map((each) => each.workerId))) {
        const claims = due.filter((each) => each.workerId === workerId && each.queues.includes(queue)).map((each) => each.claim);
        if (claims.length > 0) await this.#database.run(sql, [workerId, claims], "giving lost claims back");
      }
    }
    this.#lost = this.#lost.filter((each) => !due.includes(each));
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
