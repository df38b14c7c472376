import { BundleAcknowledgements, BundleReceipt } from "./bundle.ts";
import { BUNDLE_ACKNOWLEDGED } from "./claim-statement.ts";
import type { Row } from "./connection.ts";
import type { QueueReceipts } from "./lane.ts";
import type { QueueInfo } from "./queues.ts";
import type { PgBossReceipt } from "./row-codec.ts";

/** Receipts of one queue as the claim statement takes them: those whose rows go, and those whose rows stay for their key. */
interface Sorted {
  readonly plain: readonly PgBossReceipt[];
  readonly kept: readonly PgBossReceipt[];
}

const NONE: readonly PgBossReceipt[] = [];

/**
 * The acknowledgements of one claim statement: its parameters, and what its result says about them.
 *
 * @param sure - False: take the word of no receipt for where its message is, or whether its row has a key, but try each
 *   row in both ways. A receipt may have lost what it knew on the way, when a consumer copied only what the contract names.
 */
export class Acknowledgements {
  readonly #sorted: readonly Sorted[];
  readonly #inBundles: BundleAcknowledgements;
  readonly anyBundles: boolean;

  /** @param groups - Beside the queues of the statement, of any queue for what is in bundles. */
  constructor(queues: readonly QueueInfo[], groups: readonly QueueReceipts[], sure = true) {
    const bundled: PgBossReceipt[] = [];
    for (const { queue, receipts } of groups) if (!queues.includes(queue)) bundled.push(...receipts);
    this.#sorted = queues.map((queue) => {
      const receipts = groups.find((each) => each.queue === queue)?.receipts ?? NONE;
      if (!sure) return { plain: receipts, kept: receipts };
      const sorted = { plain: [] as PgBossReceipt[], kept: [] as PgBossReceipt[] };
      for (const receipt of receipts) {
        if (BundleReceipt.bundleOf(receipt) !== undefined) bundled.push(receipt);
        else if (receipt.kept === true) sorted.kept.push(receipt);
        else sorted.plain.push(receipt);
      }
      return sorted;
    });
    this.anyBundles = bundled.length > 0;
    this.#inBundles = new BundleAcknowledgements(bundled);
  }

  get anyRows(): boolean {
    return this.#sorted.some(({ plain, kept }) => plain.length > 0 || kept.length > 0);
  }

  get anyKept(): boolean {
    return this.#sorted.some(({ kept }) => kept.length > 0);
  }

  /** Four arrays for what is in bundles. */
  get bundleParameters(): readonly unknown[] {
    return this.#inBundles.parameters;
  }

  /** When there are rows, six arrays for each queue: ids, fences and claims of those that go, and of those that stay. */
  get rowParameters(): readonly unknown[] {
    if (!this.anyRows) return [];
    return this.#sorted.flatMap(({ plain, kept }) =>
      [plain, kept].flatMap((some) => [some.map(({ id }) => id), some.map(({ fence }) => fence), some.map(({ claim }) => claim ?? null)]),
    );
  }

  /** Those that took effect. */
  settled(rows: readonly Row[]): Set<PgBossReceipt> {
    const settled = new Set<PgBossReceipt>();
    const found = rows.flatMap(([block, number, , , , , late]) =>
      block === BUNDLE_ACKNOWLEDGED ? [[number as number, late as string | null] as const] : [],
    );
    this.#inBundles.addSettled(found, settled);
    for (const [k, { plain, kept }] of this.#sorted.entries()) {
      for (const receipt of effective(rows, -1 - 2 * k, plain)) settled.add(receipt);
      for (const receipt of effective(rows, -2 - 2 * k, kept)) settled.add(receipt);
    }
    return settled;
  }
}

/** The last column of a negative block: null when all took effect, else their positions from 1, as `{1,3}`. */
function effective(rows: readonly Row[], block: number, receipts: readonly PgBossReceipt[]): readonly PgBossReceipt[] {
  if (receipts.length === 0) return NONE;
  const row = rows.find((each) => each[0] === block);
  if (row === undefined) return NONE;
  const positions = row[6] as string | null;
  if (positions === null) return receipts;
  return positions
    .slice(1, -1)
    .split(",")
    .flatMap((position) => (position === "" ? [] : (receipts[Number(position) - 1] as PgBossReceipt)));
}

/** The receipts in each group that are of messages in bundles, and the others; groups without any are left out. */
export function splitByPlace(groups: readonly QueueReceipts[]): { readonly bundled: QueueReceipts[]; readonly rows: QueueReceipts[] } {
  const some = (isBundled: boolean): QueueReceipts[] =>
    groups.flatMap(({ queue, receipts }) => {
      const those = receipts.filter((receipt) => (BundleReceipt.bundleOf(receipt) !== undefined) === isBundled);
      return those.length === 0 ? [] : [{ queue, receipts: those }];
    });
  return { bundled: some(true), rows: some(false) };
}

/** What is left of groups without those that are settled. */
export function unsettled(groups: readonly QueueReceipts[], settled: ReadonlySet<PgBossReceipt>): QueueReceipts[] {
  return groups.flatMap(({ queue, receipts }) => {
    const left = receipts.filter((receipt) => !settled.has(receipt));
    return left.length === 0 ? [] : [{ queue, receipts: left }];
  });
}
