import type { Logger, Pause, Receipt, Received, Runtime } from "@symphony/core";
import type { Bundles } from "./bundles.ts";
import type { Database } from "./connection.ts";
import type { Lane } from "./lane.ts";
import { holdBack, readPauses } from "./pause-statements.ts";
import type { QueueDirectory, QueueInfo } from "./queues.ts";
import { deliveryOf } from "./row-codec.ts";

/** Milliseconds for which the pauses that are known are taken for the present ones. Who knows of none asks nobody. */
const FRESH_MS = 1_000;
const WHOLE = "";

export interface PausesInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly laneOf: (queue: QueueInfo) => Lane;
  readonly bundles: Bundles;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly schema: string;
}

/**
 * What is paused, as far as this process knows. While nothing is, it costs no statement: the answer to every claim
 * carries the epoch of control, and only another epoch than the known one is a reason to ask.
 */
export class Pauses {
  readonly #listeners = new Set<() => void>();
  readonly #input: PausesInput;
  /** Queue → types, with "" for the whole queue. */
  #known: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  #epoch: number | null = null;
  #loadedAt = Number.NEGATIVE_INFINITY;

  constructor(input: PausesInput) {
    this.#input = input;
  }

  /** Queues that are not paused as a whole; the same list when none is. */
  open(queues: readonly QueueInfo[]): readonly QueueInfo[] {
    if (this.#known.size === 0) return queues;
    return queues.filter(({ name }) => this.#known.get(name)?.has(WHOLE) !== true);
  }

  /** Asks again while something is known to be paused, so that the end of it is noticed. `always`: claims do not tell the epoch. */
  async keepFresh(always: boolean): Promise<void> {
    if (!always && this.#known.size === 0) return;
    if (this.#input.runtime.clock.monotonic() - this.#loadedAt >= FRESH_MS) await this.load();
  }

  async load(): Promise<readonly Pause[]> {
    const { database, runtime, schema } = this.#input;
    const at = runtime.clock.monotonic();
    const rows = await database.run(readPauses(schema), [], "reading the pauses");
    const known = new Map<string, Set<string>>();
    const pauses: Pause[] = [];
    for (const [queue, type, pausedAt, pausedBy] of rows as [string | null, string | null, string, string | null][]) {
      if (queue === null) {
        this.#epoch = type === null ? null : Number(type);
        continue;
      }
      known.set(queue, (known.get(queue) ?? new Set()).add(type ?? WHOLE));
      pauses.push({ queue, ...(type === null || type === WHOLE ? {} : { type }), pausedAt, pausedBy });
    }
    this.#known = known;
    this.#loadedAt = at;
    const place = ({ queue, type = WHOLE }: Pause): string => `${queue}\n${type}`;
    return pauses.sort((a, b) => (place(a) < place(b) ? -1 : 1));
  }

  /** A statement has told the epoch. True: it was news, and is known now. */
  async heard(epoch: number | null | undefined): Promise<boolean> {
    if (epoch === undefined || epoch === this.#epoch) return false;
    await this.load();
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** Calls `listener` when an epoch is heard of that is news. */
  onNews(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /**
   * What of a claim may be given to the worker; the rest goes back, uncounted: messages of a queue that has just been
   * paused to its head, those of paused types out of the way. Never fails: what cannot be given back is delivered, since
   * otherwise nobody would know of it.
   */
  async withhold(received: readonly Received[], epoch: number | null | undefined): Promise<readonly Received[]> {
    try {
      await this.heard(epoch);
      if (this.#known.size === 0 || received.length === 0) return received;
      const withheld = new Set<Receipt>();
      for (const [name, some] of Map.groupBy(received, (each) => each.queue)) {
        const types = this.#known.get(name);
        const queue = types === undefined ? undefined : await this.#input.queues.find(name);
        if (types === undefined || queue === undefined) continue;
        for (const receipt of await this.#giveBack(queue, types, some)) withheld.add(receipt);
      }
      return withheld.size === 0 ? received : received.filter(({ receipt }) => !withheld.has(receipt));
    } catch (error) {
      this.#input.logger.warn({ err: error }, "messages that are paused could not be held back");
      return received;
    }
  }

  async #giveBack(queue: QueueInfo, types: ReadonlySet<string>, received: readonly Received[]): Promise<readonly Receipt[]> {
    if (types.has(WHOLE)) {
      const items = received.map(({ receipt }) => ({ receipt, delayMs: null, patch: undefined }));
      return [...(await this.#input.laneOf(queue).giveBack(queue, items))];
    }
    const paused = received.filter(({ envelope }) => envelope !== undefined && types.has(envelope.message.type));
    if (paused.length === 0) return [];
    const rows = paused.map(({ receipt, envelope }, i) => ({ i, ...deliveryOf(receipt), type: envelope?.message.type }));
    const { database, schema } = this.#input;
    const receipts = paused.map(({ receipt }) => receipt);
    await this.#input.bundles.open(queue, receipts);
    const held = await database.run(holdBack(schema, queue), [JSON.stringify(rows)], "holding messages back");
    return held.map((row) => receipts[row[0] as number] as Receipt);
  }
}
