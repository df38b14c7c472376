import type { Runtime } from "@symphony/core";
import { readyStatement } from "./claim-statement.ts";
import type { Database, Statement } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";

/**
 * Milliseconds for which an answer is believed, as far as claims and notifications do not know better: what the default
 * interval of polling is, so what nobody notifies waits no longer for a busy worker than for an idle one. To ask two hundred
 * queues takes twenty milliseconds of a server's core.
 */
const BELIEVED_MS = 1_000;

export interface Found {
  readonly queues: ReadonlySet<QueueInfo>;
  /** Some of it was known before, and not asked now: no reason to say that there is nothing. */
  readonly isOld: boolean;
}

/** What is known of one list of queues. */
interface Knowledge {
  /** By name. */
  readonly asked: ReadonlyMap<string, QueueInfo>;
  /** Those that have something, and since when that is known (monotonic). */
  readonly ready: Map<QueueInfo, number>;
  readonly at: number;
  /** Every queue was asked. */
  readonly isWhole: boolean;
  /** Until the database has answered; whoever comes meanwhile waits for the same answer. */
  answer: Promise<void> | undefined;
}

/** Which of many queues have something ready: one statement, where as many claims would be as many round trips. */
export class ReadyQueues {
  readonly #database: Database;
  readonly #runtime: Runtime;
  readonly #sql: Statement;
  #known: Knowledge | undefined;

  constructor(database: Database, runtime: Runtime, schema: string) {
    this.#database = database;
    this.#runtime = runtime;
    this.#sql = readyStatement(schema);
  }

  /** Monotonic. */
  get now(): number {
    return this.#runtime.clock.monotonic();
  }

  /** `among` answers without waiting for the database. */
  isKnown(queues: readonly QueueInfo[]): boolean {
    return (this.#about(queues)?.ready.size ?? 0) > 0;
  }

  async among(queues: readonly QueueInfo[]): Promise<Found> {
    const known = this.#about(queues);
    if (known !== undefined && known.ready.size > 0) {
      if (known.answer === undefined && this.now - known.at >= BELIEVED_MS) {
        // Beside the claims, which go on with what is known, also when there is no answer: then it is asked again.
        this.#ask(queues, known.ready).answer?.catch(() => undefined);
      }
      return { queues: new Set(known.ready.keys()), isOld: true };
    }
    const asked = known?.answer === undefined ? this.#ask(queues) : known;
    await asked.answer;
    return { queues: new Set(asked.ready.keys()), isOld: !asked.isWhole };
  }

  /** What is known, if it is about these. */
  #about(queues: readonly QueueInfo[]): Knowledge | undefined {
    const known = this.#known;
    return known?.asked.size === queues.length && queues.every((each) => known.asked.get(each.name) === each) ? known : undefined;
  }

  /** @param still - Believed to have something, as no claim has found the contrary: the next one will, which costs less than to ask. */
  #ask(queues: readonly QueueInfo[], still: ReadonlyMap<QueueInfo, number> = new Map()): Knowledge {
    const asked = new Map(queues.map((each) => [each.name, each]));
    const known: Knowledge = { asked, ready: new Map(still), at: this.now, isWhole: still.size === 0, answer: undefined };
    const unknown = queues.filter((each) => !still.has(each));
    known.answer = this.#answer(known, unknown).then(
      () => {
        known.answer = undefined;
      },
      (error: unknown) => {
        known.answer = undefined;
        if (this.#known === known && known.ready.size === 0) this.forget();
        throw error;
      },
    );
    // From now on notifications are heard for it: one that comes while the database looks is not lost.
    this.#known = known;
    return known;
  }

  async #answer({ ready, at }: Knowledge, queues: readonly QueueInfo[]): Promise<void> {
    if (queues.length === 0) return;
    const rows = await this.#database.run(this.#sql, [queues.map(({ name }) => name)], "looking for messages");
    for (const row of rows) {
      const queue = queues[(row[0] as number) - 1] as QueueInfo;
      if (!ready.has(queue)) ready.set(queue, at);
    }
  }

  /** A claim that went out at `since` (see `now`) has taken all that was ready there then. */
  emptied(queues: readonly QueueInfo[], since: number): void {
    const ready = this.#known?.ready;
    for (const queue of queues) if ((ready?.get(queue) ?? Number.POSITIVE_INFINITY) < since) ready?.delete(queue);
  }

  /** Nothing of it is believed any more. */
  forget(): void {
    this.#known = undefined;
  }

  /** A notification says that these have something. */
  woken(names: readonly string[]): void {
    for (const name of names) {
      const queue = this.#known?.asked.get(name);
      if (queue !== undefined) this.#known?.ready.set(queue, this.now);
    }
  }
}
