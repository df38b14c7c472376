import type { Receipt, Received, Runtime, Serializer } from "@symphony/core";
import { Acknowledgements, splitByPlace, unsettled } from "./acknowledgement.ts";
import { fromBundle, headOf } from "./bundle.ts";
import type { Bundles } from "./bundles.ts";
import { BUSY, type ClaimNeeds, claimStatement, FIRST_BUNDLE, fewStatement, ofFew, SETTINGS, UNFIT } from "./claim-statement.ts";
import type { Database, Row, Statement } from "./connection.ts";
import { isSilence } from "./driver-errors.ts";
import {
  type Burial,
  type Claimed,
  type ClaimRequest,
  type GiveBack,
  type Lane,
  NONE,
  type QueueReceipts,
  type Settlements,
  union,
} from "./lane.ts";
import type { LostClaims } from "./lost-claims.ts";
import type { PgBossOptions } from "./options.ts";
import { type End, type Head, QueueHeads } from "./queue-heads.ts";
import type { QueueInfo } from "./queues.ts";
import { type Found, ReadyQueues } from "./ready-queues.ts";
import { deliveryOf, toReceived } from "./row-codec.ts";
import { deadLetter, giveBack } from "./statements.ts";

/** Queues in one claim statement. More make it slow to plan, and few queues have messages at the same time. */
const QUEUES_PER_CLAIM = 8;
/** Messages that a worker without any gets in a hurry, before it asks for as many as it can hold. */
const FEW = 8;

/** A claim from one group of queues. */
interface Claiming extends ClaimRequest, Pick<ClaimNeeds, "bundles"> {
  /** There are other groups. */
  readonly isOneOfMany: boolean;
  /** From the beginning of each queue, whatever is known. */
  readonly isWhole?: boolean;
}

/** Queues as they are claimed from together, those that have something. */
interface Groups extends Pick<Found, "isOld"> {
  readonly groups: readonly (readonly QueueInfo[])[];
}

/** What the database says to a claim. */
interface Answer {
  readonly claim: number;
  readonly rows: readonly Row[];
  /** What it has not brought is not there. */
  readonly isWhole: boolean;
}

export interface FastLaneInput {
  readonly database: Database;
  readonly options: PgBossOptions;
  readonly serializer: Serializer;
  readonly runtime: Runtime;
  readonly bundles: Bundles;
}

/** Our own statements on pg-boss's tables. */
export class FastLane implements Lane {
  readonly tellsEpoch = true;
  readonly #database: Database;
  readonly #options: PgBossOptions;
  readonly #serializer: Serializer;
  readonly #lost: LostClaims;
  readonly #bundles: Bundles;
  readonly #statements = new Map<string, Statement>();
  readonly ready: ReadyQueues;
  readonly #heads: QueueHeads;
  /** Queues whose last claim left nothing, and brought fewer than a few. */
  readonly #quiet = new Set<QueueInfo>();
  /** Of many queues: all of a group that had a message which cannot be claimed in a bundle. */
  readonly #unfit = new Set<QueueInfo>();

  constructor({ database, options, serializer, runtime, bundles }: FastLaneInput, lost: LostClaims) {
    this.ready = new ReadyQueues(database, runtime, options.schema);
    this.#heads = new QueueHeads(runtime.clock);
    this.#bundles = bundles;
    this.#database = database;
    this.#options = options;
    this.#serializer = serializer;
    this.#lost = lost;
  }

  async claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    if (queues.length > QUEUES_PER_CLAIM) return this.#claim(queues, request);
    const newcomers = queues.every((queue) => this.#quiet.has(queue)) ? onlyNotified(queues, request) : undefined;
    // Whatever becomes of a small claim, the next one looks into all of them: what nobody notified waits for one claim at most.
    for (const queue of queues) this.#quiet.delete(queue);
    if (newcomers === undefined) return this.#claimFromAll(queues, request);
    const few = await this.#claimFew(newcomers, request);
    if (few === undefined) return this.#claimFromAll(queues, request);
    const { length } = few.received;
    if (length < FEW || length === request.max) return few;
    // What has come is in flight, and must not be forgotten for the sake of the rest.
    const rest = await this.#claimFromAll(queues, { ...request, max: request.max - length }).catch(() => undefined);
    return rest === undefined ? few : { ...rest, received: [...few.received, ...rest.received] };
  }

  async #claimFromAll(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    const claimed = await this.#claim(queues, request);
    if (claimed.received.length < Math.min(FEW, request.max) && claimed.isRefused !== true)
      for (const queue of queues) this.#quiet.add(queue);
    return claimed;
  }

  /**
   * A message that was sent while there was nothing else, by a statement that finds it sooner, on the connection that
   * heard of it, if that is free. Undefined: that failed, and another connection may do.
   */
  async #claimFew(queue: QueueInfo, { workerId, max }: ClaimRequest): Promise<Claimed | undefined> {
    const { isFree } = this.#database.listener;
    const sql = this.#statement(`few ${isFree} ${queue.name}`, () => fewStatement(this.#options.schema, queue, { isAsync: isFree }));
    const claiming = this.#lost.watch(workerId, [queue], async (claim) => {
      const values = [workerId, Math.min(FEW, max), claim];
      const found = isFree
        ? await this.#database.claimWhereHeard(sql, values, "receiving messages")
        : await this.#database.run(sql, values, "receiving messages");
      const rows = ofFew(found);
      const received = rows.map((row) => toReceived(row, queue.name, this.#serializer, claim));
      return { received, settled: NONE, ...(rows[0] === undefined ? {} : { controlEpoch: rows[0][1] }) };
    });
    return isFree ? claiming.catch(unlessSilent) : claiming;
  }

  async #claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    if (queues.length <= QUEUES_PER_CLAIM || request.acknowledge.length === 0 || this.ready.isKnown(queues))
      return this.#claimFrom(await this.#groupsOf(queues), queues, request);
    // An acknowledgement does not wait for the question, which of two hundred queues may take a tenth of a second.
    const asking = this.#groupsOf(queues).catch((failure: unknown) => ({ failure }));
    const settled = await this.acknowledge(request.acknowledge);
    const found = await asking;
    if ("failure" in found) return { received: [], settled, failure: found.failure };
    const claiming = this.#claimFrom(found, queues, { ...request, acknowledge: [] });
    return { ...(await claiming.catch((failure: unknown) => ({ received: [], failure }))), settled };
  }

  async #claimFrom({ groups, isOld }: Groups, queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed> {
    const received: Received[] = [];
    const first = new Set(groups[0] ?? []);
    const elsewhere = splitByPlace(request.acknowledge.filter((each) => !first.has(each.queue)));
    if (groups.length === 0) return { received, settled: await this.acknowledge(request.acknowledge) };
    const settled = [await this.acknowledge(elsewhere.rows)];
    let riding = [...request.acknowledge.filter((each) => first.has(each.queue)), ...elsewhere.bundled];
    let left = request.max;
    let controlEpoch: number | null | undefined;
    let [isBusy, isRefused] = [false, false];
    for (const group of groups) {
      const acknowledgements = new Acknowledgements(group, riding);
      const since = this.ready.now;
      const before = received.length;
      // Of many groups, each has one statement, with and without acknowledgements: to plan a second one costs more than it saves.
      const isOneOfMany = queues.length > QUEUES_PER_CLAIM;
      const bundles = acknowledgements.anyBundles || isOneOfMany;
      const claiming = { ...request, max: left, bundles, isOneOfMany };
      const claimed = await this.#runClaim(group, claiming, acknowledgements, riding).catch((error: unknown) => {
        // What the groups before it gave is in flight, and must not be forgotten for the sake of this one.
        if (received.length === 0) throw error;
        return undefined;
      });
      if (claimed === undefined) break;
      settled.push(claimed.settled);
      riding = [];
      isBusy ||= claimed.isBusy;
      isRefused = claimed.isRefused;
      controlEpoch = epochIn(claimed);
      if (isRefused) break;
      const { some, failure, last } = await this.#withOlder(group, claimed, claiming);
      controlEpoch = epochIn(last);
      received.push(...some);
      // What was found is in flight, and must not be forgotten for the sake of the rest; but nothing is no answer.
      if (failure !== undefined && received.length === 0) return { received, settled: union(settled), failure };
      if (failure !== undefined) break;
      if (received.length - before < left && !Number.isFinite(request.maxBytes)) this.ready.emptied(group, since);
      left = request.max - received.length;
      // With a limit of bytes it is not known which of the two ran out: then nothing of a later queue may be taken.
      if (left <= 0 || (received.length > 0 && Number.isFinite(request.maxBytes))) break;
    }
    if (isOld && received.length === 0 && !isRefused) return this.#claimAnew(queues, request, union(settled));
    return { received, settled: union(settled), isBusy, isRefused, ...(controlEpoch === undefined ? {} : { controlEpoch }) };
  }

  /** What a claim has brought; if that may be fewer than there are (it began further on, or was `UNFIT`), with what is found from the beginning. */
  async #withOlder(
    group: readonly QueueInfo[],
    claimed: Answer,
    request: Claiming,
  ): Promise<{ readonly some: readonly Received[]; readonly last: Answer; readonly failure?: unknown }> {
    let [some, last] = [this.#received(group, claimed, request.workerId), claimed];
    while (some.length < request.max && !last.isWhole) {
      const again = { ...request, max: request.max - some.length, isWhole: true, isBeside: false };
      const rest = await this.#runClaim(group, again, new Acknowledgements(group, [])).catch((failure: unknown) => ({ failure }));
      if ("failure" in rest) return { some, last, failure: rest.failure };
      some = inOrder(group, [...this.#received(group, rest, request.workerId), ...some]);
      last = rest;
    }
    return { some, last };
  }

  async acknowledge(groups: readonly QueueReceipts[]): Promise<Settlements> {
    const settled: Settlements[] = [];
    // A statement needs to name the queues of rows alone.
    const { bundled, rows } = groups.length > QUEUES_PER_CLAIM ? splitByPlace(groups) : { bundled: [], rows: groups };
    for (const some of [...(bundled.length > 0 ? [bundled] : []), ...inGroups(rows, QUEUES_PER_CLAIM)])
      settled.push(await this.#lookAgain(some, await this.#acknowledge(some, true)));
    return union(settled);
  }

  async giveBack(queue: QueueInfo, items: readonly GiveBack[]): Promise<Settlements> {
    const sql = this.#statement(`give back ${queue.name}`, () => giveBack(this.#options.schema, queue, this.#options.synchronousCommit));
    await this.#bundles.open(
      queue,
      items.map(({ receipt }) => receipt),
    );
    return twice(items, async (some) => {
      const rows = some.map(({ receipt, delayMs, patch }, i) => ({ i, ...deliveryOf(receipt), delay: delayMs, patch }));
      return this.#database.run(sql, [JSON.stringify(rows)], "giving messages back");
    });
  }

  async deadLetter(queue: QueueInfo, dead: QueueInfo, items: readonly Burial[]): Promise<Settlements> {
    const sql = this.#statement(`dead letter ${queue.name}`, () => deadLetter(this.#options.schema, queue, dead));
    await this.#bundles.open(
      queue,
      items.map(({ receipt }) => receipt),
    );
    return twice(items, async (some) => {
      const rows = some.map(({ receipt, failure, patch }, i) => ({ i, ...deliveryOf(receipt), failure, patch }));
      return this.#database.run(sql, [JSON.stringify(rows)], "dead-lettering messages");
    });
  }

  #received(queues: readonly QueueInfo[], { rows, claim }: Pick<Answer, "rows" | "claim">, workerId: string): Received[] {
    const by = { workerId, claim };
    const received: Received[][] = [];
    for (const row of rows) {
      const block = row[0] as number;
      const bundled = queues[block - FIRST_BUNDLE];
      if (bundled !== undefined) received[block - FIRST_BUNDLE] = fromBundle(row, { ...by, queue: bundled.name }, this.#serializer);
      const queue = queues[block];
      if (queue === undefined) continue;
      received[block] ??= [];
      received[block].push(toReceived(row, queue.name, this.#serializer, claim));
    }
    // In the order of the queues: each has given rows, or a bundle.
    return received.flat();
  }

  async #runClaim(
    queues: readonly QueueInfo[],
    request: Claiming,
    acknowledgements: Acknowledgements,
    riding: readonly QueueReceipts[] = [],
  ) {
    const { anyRows: rows, anyKept: kept, bundleParameters, rowParameters } = acknowledgements;
    const { workerId, max, maxBytes, bundles, isBeside = false } = request;
    const bounded = Number.isFinite(maxBytes);
    const isPlain = request.isOneOfMany && !rows && !kept && !bounded;
    const together = isPlain && queues.every((queue) => !queue.keyed && !this.#unfit.has(queue));
    const sql = this.#claimStatement(queues, { acknowledgeOnly: false, bundles, rows, kept, bounded, together });
    // With a limit of bytes it is not known whether there was more.
    const beginning = this.#heads.next(queues, bounded || request.isWhole === true);
    const { head, queues: few } = beginning;
    const from = [few, head?.priority ?? null, head?.us ?? null];
    return this.#lost.watch(workerId, queues, async (claim) => {
      const values = [workerId, max, claim, bounded ? Math.floor(maxBytes) : 0, ...bundleParameters, ...from, isBeside, ...rowParameters];
      const found = await this.#database.run(sql, values, "receiving messages");
      const isBusy = settingsIn(found)?.[2] === BUSY;
      const isRefused = isBusy && isBeside;
      const isUnfit = settingsIn(found)?.[3] === UNFIT;
      if (isUnfit) for (const queue of queues) this.#unfit.add(queue);
      if (isRefused || isUnfit) this.#heads.undone(queues, beginning);
      else this.#heads.ended(queues, beginning, endsOf(queues, found), max);
      const settled = await this.#lookAgain(riding, acknowledgements.settled(found)).catch((error: unknown) => {
        this.#lost.giveBackLater(workerId, queues, claim);
        throw error;
      });
      return { claim, rows: found, isWhole: beginning.isWhole && !isUnfit, settled, isBusy, isRefused };
    });
  }

  async #acknowledge(groups: readonly QueueReceipts[], sure: boolean): Promise<Settlements> {
    const queues = groups.map((each) => each.queue);
    const acknowledgements = new Acknowledgements(queues, groups, sure);
    const { anyBundles: bundles, anyRows: rows, anyKept: kept, bundleParameters, rowParameters } = acknowledgements;
    const sql = this.#claimStatement(queues, { acknowledgeOnly: true, bundles, rows, kept, bounded: false });
    const values = ["", 0, 0, 0, ...bundleParameters, 0, null, null, false, ...rowParameters];
    return acknowledgements.settled(await this.#database.run(sql, values, "acknowledging messages"));
  }

  /**
   * Asks once more for receipts that took no effect, before anybody is told that a lease is lost: a row that somebody
   * else changed in the same moment, without taking the message over, is not found where it was; a row with an
   * idempotency key is not found by a receipt that does not tell; and a message may be in a bundle that its receipt does
   * not know, or not be in the one that it knows.
   */
  async #lookAgain(groups: readonly QueueReceipts[], settled: Settlements): Promise<Settlements> {
    if (groups.reduce((sum, { receipts }) => sum + receipts.length, 0) === settled.size) return settled;
    const left = unsettled(groups, settled);
    for (const { queue, receipts } of left) await this.#bundles.open(queue, receipts);
    const all = [settled];
    for (const some of inGroups(left, QUEUES_PER_CLAIM)) all.push(await this.#acknowledge(some, false));
    return union(all);
  }

  /** Those that were believed to have something had nothing left; before that is said of all, they are asked. */
  async #claimAnew(queues: readonly QueueInfo[], request: ClaimRequest, settled: Settlements): Promise<Claimed> {
    this.ready.forget();
    const claimed = await this.#claim(queues, { ...request, acknowledge: [], isBeside: false });
    return { ...claimed, settled };
  }

  /**
   * The queues as they are claimed from together. Of many, those groups that have something ready, which one statement
   * finds, where as many claims would be as many round trips. A queue is always in the same group, so that there are only
   * as many claim statements as groups.
   */
  async #groupsOf(queues: readonly QueueInfo[]): Promise<Groups> {
    const groups = inGroups(queues, QUEUES_PER_CLAIM);
    if (groups.length < 2) return { groups, isOld: false };
    const found = await this.ready.among(queues);
    return { groups: groups.filter((group) => group.some((queue) => found.queues.has(queue))), isOld: found.isOld };
  }

  #claimStatement(queues: readonly QueueInfo[], needs: Omit<ClaimNeeds, "queues" | "commit">): Statement {
    const { acknowledgeOnly, bundles, rows, kept, bounded, together = false } = needs;
    const { schema, synchronousCommit } = this.#options;
    // Without rows, an acknowledgement says nothing of any queue.
    const named = acknowledgeOnly && !rows ? [] : queues;
    const key = `${acknowledgeOnly} ${bundles} ${rows} ${kept} ${bounded} ${together} ${named.map((queue) => `${queue.name}${queue.keyed ? " in turn" : ""}`).join()}`;
    return this.#statement(key, () => claimStatement(schema, { ...needs, queues: named, commit: synchronousCommit }));
  }

  #statement(key: string, make: () => Statement): Statement {
    const known = this.#statements.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#statements.set(key, made);
    return made;
  }
}

/** As it was at the time of a claim. */
const epochIn = ({ rows }: Answer): number | null | undefined => settingsIn(rows)?.[1] as number | null | undefined;

/** They come first. */
const settingsIn = ([first]: readonly Row[]): Row | undefined => (first?.[0] === SETTINGS ? first : undefined);

/** What a claim has taken of each queue. */
function endsOf(queues: readonly QueueInfo[], rows: readonly Row[]): End[] {
  const ends = queues.map((): { count: number; head: Head | undefined } => ({ count: 0, head: undefined }));
  for (const row of rows) {
    const block = row[0] as number;
    const end = ends[block >= FIRST_BUNDLE ? block - FIRST_BUNDLE : block];
    if (end === undefined) continue;
    end.count += block >= FIRST_BUNDLE ? (row[1] as number) : 1;
    if (block >= FIRST_BUNDLE) end.head = headOf(row);
  }
  return ends;
}

/** Of two claims from the same queues, the older ones first: by queue and by priority. */
function inOrder(queues: readonly QueueInfo[], received: readonly Received[]): Received[] {
  const places = new Map(queues.map(({ name }, place) => [name, place]));
  const place = ({ queue }: Received): number => places.get(queue) ?? 0;
  return received.toSorted((a, b) => place(a) - place(b) || b.priority - a.priority);
}

/** To wait for another connection, after one that has not answered in time, would take too long. */
function unlessSilent(error: unknown): undefined {
  if (isSilence((error as { readonly cause?: unknown }).cause)) throw error;
  return undefined;
}

/** The only queue that notifications were about, where nothing else is asked for, and nobody keeps turns. */
function onlyNotified(queues: readonly QueueInfo[], { notified, acknowledge, maxBytes }: ClaimRequest): QueueInfo | undefined {
  if (notified === undefined || acknowledge.length > 0 || Number.isFinite(maxBytes)) return undefined;
  const [queue, ...others] = queues.filter(({ name }) => notified.includes(name));
  return queue?.keyed === false && others.length === 0 ? queue : undefined;
}

/** As `lookAgain`: those that took no effect get a second chance. Rows are positions in what was given. */
async function twice<T extends { readonly receipt: Receipt }>(
  items: readonly T[],
  run: (some: readonly T[]) => Promise<Row[]>,
): Promise<Settlements> {
  const receipts = (some: readonly T[], rows: readonly Row[]): Receipt[] => rows.map((row) => (some[row[0] as number] as T).receipt);
  const settled = new Set<Receipt>(receipts(items, await run(items)));
  const left = items.filter((item) => !settled.has(item.receipt));
  if (left.length > 0) for (const receipt of receipts(left, await run(left))) settled.add(receipt);
  return settled;
}

function inGroups<T>(items: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let i = 0; i < items.length; i += size) groups.push(items.slice(i, i + size));
  return groups;
}
