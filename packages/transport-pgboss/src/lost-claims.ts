import { type Logger, MessengerError, type Runtime, type Timer } from "@symphony/core";
import type { Database } from "./connection.ts";
import type { QueueInfo } from "./queues.ts";
import { forgetClaims } from "./worker-statements.ts";

export interface LostClaimsInput {
  readonly database: Database;
  readonly schema: string;
  /** Milliseconds after which the server has given a statement up. */
  readonly statementTimeoutMs: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** A claim whose answer did not come: its messages would stay with us, who do not know of them. */
interface LostClaim {
  readonly claim: number;
  readonly workerId: string;
  readonly queues: readonly QueueInfo[];
  readonly at: number;
}

/** Milliseconds until giving back is tried again, after the database did not answer that either. */
const AGAIN_MS = 1_000;

/**
 * Gives back what was claimed for us without our hearing of it; a live worker's leases do not run out by themselves.
 *
 * By a timer, and not with the next claim: messages in flight wake nobody, so that an idle worker might not claim again
 * for long. And not before the server has given up on the statement: it may still be about to claim.
 */
export class LostClaims {
  readonly #o: LostClaimsInput;
  #lost: LostClaim[] = [];
  #last: number;
  #timer: Timer | undefined;

  constructor(input: LostClaimsInput) {
    this.#o = input;
    // Unlike those of another transport of the same worker.
    this.#last = Math.floor(input.runtime.random() * 2 ** 31);
  }

  /** Runs a claim under a number of its own, which it writes down with the messages; without an answer they are given back later. */
  async watch<T>(workerId: string, queues: readonly QueueInfo[], run: (claim: number) => Promise<T>): Promise<T> {
    this.#last += 1;
    const claim = this.#last;
    try {
      return await run(claim);
    } catch (error) {
      if (error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE") this.giveBackLater(workerId, queues, claim);
      throw error;
    }
  }

  /** What this claim has brought reaches nobody. */
  giveBackLater(workerId: string, queues: readonly QueueInfo[], claim: number): void {
    this.#lost.push({ claim, workerId, queues, at: this.#o.runtime.clock.monotonic() });
    this.#schedule(this.#o.statementTimeoutMs);
  }

  #schedule(delayMs: number): void {
    this.#timer ??= this.#o.runtime.clock.schedule(
      delayMs,
      () => {
        this.#timer = undefined;
        void this.#giveBack();
      },
      { unref: true },
    );
  }

  /** Never rejects. */
  async #giveBack(): Promise<void> {
    const { database, runtime, statementTimeoutMs, logger } = this.#o;
    if (database.closed) return;
    const before = runtime.clock.monotonic() - statementTimeoutMs;
    const due = this.#lost.filter((each) => each.at <= before);
    try {
      for (const queue of new Set(due.flatMap((each) => each.queues))) await this.#giveBackOf(queue, due);
      this.#lost = this.#lost.filter((each) => !due.includes(each));
    } catch (error) {
      logger.debug({ err: error }, "lost claims could not be given back yet");
    }
    if (this.#lost.length > 0) this.#schedule(AGAIN_MS);
  }

  async #giveBackOf(queue: QueueInfo, due: readonly LostClaim[]): Promise<void> {
    const { database, schema, logger } = this.#o;
    for (const workerId of new Set(due.map((each) => each.workerId))) {
      const claims = due.filter((each) => each.workerId === workerId && each.queues.includes(queue)).map((each) => each.claim);
      if (claims.length === 0) continue;
      const rows = await database.run(forgetClaims(schema, queue), [workerId, claims], "giving lost claims back");
      const ids = rows.map(([id]) => id);
      if (ids.length > 0) logger.warn({ queue: queue.name, message_ids: ids }, "gave back messages of a claim whose answer was lost");
    }
  }
}
