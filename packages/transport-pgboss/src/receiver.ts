import {
  OptionsError,
  type Receipt,
  type Received,
  type ReceiveOptions,
  type Rejection,
  type Serializer,
  type Settled,
  TransportError,
} from "@symphony/core";
import { BundleReceipt } from "./bundle.ts";
import type { Bundles } from "./bundles.ts";
import { anyReadyStatement } from "./claim-statement.ts";
import type { Database, Statement } from "./connection.ts";
import type { Counter } from "./counter.ts";
import {
  type Burial,
  type Claimed,
  type ClaimRequest,
  type GiveBack,
  type Lane,
  type QueueReceipts,
  type Settlements,
  union,
} from "./lane.ts";
import type { Notifier } from "./notifier.ts";
import type { Pauses } from "./pauses.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { toReceived, UUID_PATTERN } from "./row-codec.ts";
import { adopt } from "./worker-statements.ts";

const MOST = 10_000;
/** Claims in one receive at most that bring nothing but messages of paused types. */
const ROUNDS = 50;
/** `retry_count` is an int4; one that somebody has set by hand may be negative. */
const LARGEST_FENCE = 2 ** 31 - 1;

export interface ReceiverInput {
  readonly queues: QueueDirectory;
  /** Which lane works on a queue. */
  readonly laneOf: (queue: QueueInfo) => Lane;
  readonly bundles: Bundles;
  readonly counter: Counter;
  readonly notifier: Notifier;
  readonly pauses: Pauses;
  readonly database: Database;
  readonly schema: string;
  readonly serializer: Serializer;
}

/** Receives and settles: sorts what it is given by queue, leaves the work to a lane, and counts. */
export class PgBossReceiver {
  readonly #input: ReceiverInput;
  readonly #anyReady = new Map<string, Statement>();

  constructor(input: ReceiverInput) {
    this.#input = input;
  }

  async receive(max: number, options: ReceiveOptions): Promise<readonly Received[]> {
    if (!Number.isInteger(max) || max < 0 || max > MOST) throw new OptionsError("max", max, `must be an integer from 0 to ${MOST}`);
    const { acknowledge = [], onSettled, isBeside = false, workerId, maxBytes = Number.POSITIVE_INFINITY, notified } = options;
    const named = options.queues === undefined ? await this.#input.queues.all() : await this.#named(options.queues);
    const { pauses, laneOf } = this.#input;
    if (max > 0) await pauses.keepFresh(named.some((queue) => !laneOf(queue).tellsEpoch));
    if (max === 0 || pauses.open(named).length === 0) {
      if (acknowledge.length === 0) return [];
      const report = await this.acknowledge(acknowledge);
      onSettled?.(report);
      return [];
    }
    const settled: Settlements[] = [];
    let received: readonly Received[] = [];
    let failure: unknown;
    let waiting: readonly QueueReceipts[] = await this.#grouped(acknowledge);
    // What is free lies behind what is paused: each round takes some of that out of the way.
    for (let round = 0; round < ROUNDS && received.length === 0; round++) {
      const claimed = await this.#claim(pauses.open(named), {
        workerId,
        max,
        maxBytes,
        notified,
        acknowledge: waiting,
        isBeside,
      });
      settled.push(claimed.settled);
      ({ waiting, failure } = claimed);
      if (claimed.isBusy === true) options.onBusy?.();
      received = await pauses.withhold(claimed.received, claimed.controlEpoch);
      if (received.length === claimed.received.length) break;
    }
    const rest = await this.#acknowledge(waiting).catch((error: unknown) => {
      // What was received is in flight: it is returned, and without a word of their outcome the acknowledgements are repeated.
      if (received.length === 0) throw error;
      return undefined;
    });
    if (acknowledge.length > 0 && rest !== undefined) {
      const report = this.#report(acknowledge, union([...settled, rest]));
      onSettled?.(report);
    }
    if (received.length === 0 && failure !== undefined) throw failure;
    return received;
  }

  async acknowledge(receipts: readonly Receipt[]): Promise<readonly Settled[]> {
    return this.#report(receipts, await this.#acknowledge(await this.#grouped(receipts)));
  }

  async reject(rejections: readonly Rejection[]): Promise<readonly Settled[]> {
    const settled = new Set<Receipt>();
    const groups = Map.groupBy(
      rejections.filter(({ receipt }) => isPlausible(receipt)),
      ({ receipt }) => receipt.queue,
    );
    for (const [name, some] of groups) {
      const queue = await this.#input.queues.find(name);
      if (queue === undefined) continue;
      for (const receipt of await this.#rejectIn(queue, some)) settled.add(receipt);
    }
    return rejections.map(({ receipt }) => ({ receipt, status: settled.has(receipt) ? "settled" : "lease_lost" }));
  }

  /** Passes deliveries to another worker; those that are not current are left out. */
  async adopt(receipts: readonly Receipt[], workerId: string): Promise<readonly Received[]> {
    const { database, schema, serializer } = this.#input;
    const adopted: Received[] = [];
    for (const { queue, receipts: some } of await this.#grouped(receipts)) {
      await this.#input.bundles.open(queue, some);
      const values = [workerId, some.map(({ id }) => id), some.map(({ fence }) => fence), some.map(({ claim }) => claim ?? null)];
      const rows = await database.run(adopt(schema, queue), values, "passing messages on");
      adopted.push(...rows.map((row) => toReceived(row, queue.name, serializer)));
    }
    return adopted;
  }

  async hasReady(names?: readonly string[]): Promise<boolean> {
    const named = names === undefined ? await this.#input.queues.all() : await this.#named(names);
    const { pauses, database, schema } = this.#input;
    await pauses.keepFresh(false);
    for (;;) {
      const queues = pauses.open(named);
      if (queues.length === 0) return false;
      const key = queues.map((queue) => queue.name).join();
      const sql = this.#anyReady.get(key) ?? anyReadyStatement(schema, queues);
      this.#anyReady.set(key, sql);
      const [any, epoch] = (await database.run(sql, [], "looking for messages"))[0] as [boolean, number | null];
      // Ready, but perhaps in a queue that has just been paused: then once more without it.
      if (!any || !(await pauses.heard(epoch))) return any;
    }
  }

  /** From queue after queue; `waiting`: acknowledgements that found no claim to ride with. */
  async #claim(queues: readonly QueueInfo[], request: ClaimRequest): Promise<Claimed & { readonly waiting: readonly QueueReceipts[] }> {
    const { workerId, max, maxBytes, notified, isBeside = false } = request;
    const settled: Settlements[] = [];
    const received: Received[] = [];
    let waiting = request.acknowledge;
    let left = max;
    let told: Omit<Claimed, "received" | "settled"> = {};
    for (const { lane, queues: some } of runs(queues, this.#input.laneOf)) {
      const riding = waiting.filter((each) => some.includes(each.queue));
      waiting = waiting.filter((each) => !some.includes(each.queue));
      const claimed = await lane
        .claim(some, { workerId, max: left, maxBytes, notified, acknowledge: riding, isBeside })
        .catch((error: unknown) => {
          // What the lanes before it gave is in flight, and must not be forgotten for the sake of this one.
          if (received.length === 0) throw error;
          waiting = [...waiting, ...riding];
          return undefined;
        });
      if (claimed === undefined) break;
      settled.push(claimed.settled);
      received.push(...claimed.received);
      left -= claimed.received.length;
      if (claimed.controlEpoch !== undefined) told = { ...told, controlEpoch: claimed.controlEpoch };
      if (claimed.failure !== undefined) told = { ...told, failure: claimed.failure };
      if (claimed.isBusy === true) told = { ...told, isBusy: true };
      if (claimed.isRefused === true) break;
      // Whether bytes or messages ran out is not known: then nothing of a later queue may be taken.
      if (left <= 0 || (received.length > 0 && Number.isFinite(maxBytes))) break;
    }
    return { received, settled: union(settled), waiting, failure: undefined, ...told };
  }

  async #rejectIn(queue: QueueInfo, rejections: readonly Rejection[]): Promise<Receipt[]> {
    const lane = this.#input.laneOf(queue);
    const back: GiveBack[] = [];
    const burials: Burial[] = [];
    for (const rejection of rejections) {
      const { receipt, patch } = rejection;
      if ("deadLetter" in rejection) burials.push({ receipt, failure: rejection.deadLetter, patch });
      else back.push({ receipt, delayMs: "release" in rejection ? null : Math.max(0, rejection.retryInMs), patch });
    }
    const settled: Receipt[] = [];
    if (back.length > 0) {
      const given = await lane.giveBack(queue, back);
      settled.push(...given);
      const retried = back.filter((each) => each.delayMs !== null && given.has(each.receipt));
      this.#input.counter.add(queue.name, "retried", retried.length);
      if (back.some((each) => (each.delayMs ?? 0) === 0 && given.has(each.receipt))) this.#input.notifier.notify([queue.name]);
    }
    if (burials.length > 0) {
      const buried = await lane.deadLetter(queue, await this.#input.queues.deadLetters(), burials);
      settled.push(...buried);
      this.#input.counter.add(queue.name, "failed", buried.size);
    }
    return settled;
  }

  async #acknowledge(groups: readonly QueueReceipts[]): Promise<Settlements> {
    const settled: Settlements[] = [];
    for (const [lane, some] of Map.groupBy(groups, (each) => this.#input.laneOf(each.queue))) settled.push(await lane.acknowledge(some));
    return union(settled);
  }

  /** Receipts that cannot be ours, or of queues that are gone, are left out: their deliveries are not current. */
  async #grouped(receipts: readonly Receipt[]): Promise<QueueReceipts[]> {
    const byName = new Map<string, Receipt[]>();
    let last: { readonly name: string; readonly some: Receipt[] } | undefined;
    for (const receipt of receipts) {
      if (!isPlausible(receipt)) continue;
      // Mostly they are all of one queue.
      if (last?.name !== receipt.queue) {
        last = { name: receipt.queue, some: byName.get(receipt.queue) ?? [] };
        byName.set(last.name, last.some);
      }
      last.some.push(receipt);
    }
    const groups: QueueReceipts[] = [];
    for (const [name, some] of byName) {
      const queue = await this.#input.queues.find(name);
      if (queue !== undefined) groups.push({ queue, receipts: some });
    }
    return groups;
  }

  #report(receipts: readonly Receipt[], settled: Settlements): Settled[] {
    let [queue, handled] = ["", 0];
    const count = (): void => {
      if (handled > 0) this.#input.counter.add(queue, "handled", handled);
    };
    const report = receipts.map((receipt): Settled => {
      if (!settled.has(receipt)) return { receipt, status: "lease_lost" };
      // Mostly they are all of one queue.
      if (receipt.queue !== queue) {
        count();
        [queue, handled] = [receipt.queue, 0];
      }
      handled += 1;
      return { receipt, status: "settled" };
    });
    count();
    return report;
  }

  async #named(names: readonly string[]): Promise<QueueInfo[]> {
    const queues: QueueInfo[] = [];
    const dead = await this.#input.queues.deadLetters();
    for (const name of new Set(names)) {
      const queue = this.#input.queues.peek(name) ?? (await this.#input.queues.get(name));
      if (queue === dead) throw reserved(name);
      queues.push(queue);
    }
    return queues;
  }
}

const reserved = (name: string): TransportError =>
  new TransportError("QUEUE_NOT_FOUND", `the queue "${name}" is reserved for dead letters: redrive them`, { details: { queue: name } });

/** One of our own making needs no look. */
const isPlausible = (receipt: Receipt): boolean =>
  BundleReceipt.bundleOf(receipt) !== undefined ||
  (UUID_PATTERN.test(receipt.id) && Number.isInteger(receipt.fence) && Math.abs(receipt.fence) <= LARGEST_FENCE);

/** Queues that follow each other and have the same lane. */
function runs(queues: readonly QueueInfo[], laneOf: (queue: QueueInfo) => Lane): { lane: Lane; queues: QueueInfo[] }[] {
  const all: { lane: Lane; queues: QueueInfo[] }[] = [];
  for (const queue of queues) {
    const lane = laneOf(queue);
    const last = all.at(-1);
    if (last?.lane === lane) last.queues.push(queue);
    else all.push({ lane, queues: [queue] });
  }
  return all;
}
