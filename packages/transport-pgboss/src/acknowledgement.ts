import type { Row } from "./connection.ts";
import { nameOf, type QueueReceipts } from "./lane.ts";
import type { QueueInfo } from "./queues.ts";
import type { PgBossReceipt } from "./row-codec.ts";

/** Receipts of one queue as the claim statement takes them: those whose rows go, and those whose rows stay for their key. */
interface Sorted {
  readonly plain: readonly PgBossReceipt[];
  readonly kept: readonly PgBossReceipt[];
}

/**
 * The acknowledgements of one claim statement: its parameters, and what its result says about them.
 *
 * @param sure - False: take the word of no receipt for whether its row has a key, but try both. A receipt may have lost
 *   its `kept` on the way, when a consumer copied only what the contract names.
 */
export class Acknowledgements {
  readonly #sorted: readonly Sorted[];

  constructor(queues: readonly QueueInfo[], groups: readonly QueueReceipts[], sure = true) {
    this.#sorted = queues.map((queue) => {
      const receipts = groups.find((each) => each.queue === queue)?.receipts ?? [];
      if (!sure) return { plain: receipts, kept: receipts };
      return { plain: receipts.filter((receipt) => receipt.kept !== true), kept: receipts.filter((receipt) => receipt.kept === true) };
    });
  }

  get anyKept(): boolean {
    return this.#sorted.some(({ kept }) => kept.length > 0);
  }

  /** Ids and fences, four arrays for each queue. */
  get parameters(): unknown[] {
    return this.#sorted.flatMap(({ plain, kept }) =>
      [plain, kept].flatMap((some) => [some.map((receipt) => receipt.id), some.map((receipt) => receipt.fence)]),
    );
  }

  /** Names of those that took effect. */
  settled(rows: readonly Row[]): Set<string> {
    const names = new Set<string>();
    for (const [k, { plain, kept }] of this.#sorted.entries()) {
      for (const receipt of [...effective(rows, -1 - 2 * k, plain), ...effective(rows, -2 - 2 * k, kept)]) names.add(nameOf(receipt));
    }
    return names;
  }
}

/** The last column of a negative block: null when all took effect, else their positions from 1, as `{1,3}`. */
function effective(rows: readonly Row[], block: number, receipts: readonly PgBossReceipt[]): readonly PgBossReceipt[] {
  const row = rows.find((each) => each[0] === block);
  if (receipts.length === 0 || row === undefined) return [];
  const positions = row[5] as string | null;
  if (positions === null) return receipts;
  return positions
    .slice(1, -1)
    .split(",")
    .flatMap((position) => (position === "" ? [] : (receipts[Number(position) - 1] as PgBossReceipt)));
}

/** What is left of groups without those that are settled. */
export function unsettled(groups: readonly QueueReceipts[], settled: ReadonlySet<string>): QueueReceipts[] {
  return groups.flatMap(({ queue, receipts }) => {
    const left = receipts.filter((receipt) => !settled.has(nameOf(receipt)));
    return left.length === 0 ? [] : [{ queue, receipts: left }];
  });
}
