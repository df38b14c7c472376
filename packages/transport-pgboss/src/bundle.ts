import { LazyDelivery, type Received, type Serializer } from "@symphony/core";
import type { Row } from "./connection.ts";
import type { Head } from "./queue-heads.ts";
import type { PgBossReceipt } from "./row-codec.ts";
import { RECORD_SEPARATOR } from "./statements.ts";

/** Messages that were claimed at once, and are one row of the database until they are settled. */
export interface Bundle {
  readonly workerId: string;
  readonly claim: number;
  readonly queue: string;
  readonly size: number;
}

/**
 * The receipt of a message in a bundle. It knows where the message is, which saves a search; a copy, which does not, is
 * as good.
 */
export class BundleReceipt implements PgBossReceipt {
  readonly id: string;
  readonly queue: string;
  readonly fence: number;
  readonly #bundle: Bundle;
  readonly #position: number;

  constructor(id: string, fence: number, bundle: Bundle, position: number) {
    this.id = id;
    this.queue = bundle.queue;
    this.fence = fence;
    this.#bundle = bundle;
    this.#position = position;
  }

  get claim(): number {
    return this.#bundle.claim;
  }

  static bundleOf(receipt: PgBossReceipt): Bundle | undefined {
    return #bundle in receipt ? receipt.#bundle : undefined;
  }

  /** From 0. */
  static positionOf(receipt: PgBossReceipt): number {
    return #position in receipt ? receipt.#position : -1;
  }
}

/** Deliveries from the row of a bundle: `[block, size, ids, fences, priorities, kept, records]`. */
export function fromBundle(row: Row, claimed: Pick<Bundle, "workerId" | "claim" | "queue">, serializer: Serializer): Received[] {
  const [, size, ids, fences, priorities, , records] = row as [number, number, string, string, string, boolean, string];
  const bundle: Bundle = { ...claimed, size };
  const fence = numbers(fences);
  const priority = numbers(priorities.slice(0, priorities.indexOf(";")));
  const bodies = records.split(RECORD_SEPARATOR);
  return ids.split(",").map((id, i) => {
    const receipt = new BundleReceipt(id, fence(i), bundle, i);
    return new LazyDelivery(receipt, priority(i), bodies[i] as string, serializer);
  });
}

/** Where the last message of that row lay in its queue. */
export function headOf([, , , , priorities]: Row): Head {
  const [list = "", us] = (priorities as string).split(";");
  return { priority: Number(list.slice(list.lastIndexOf(",") + 1)), us: Number(us) };
}

/** A list of numbers as text; one number stands for as many equal ones. */
function numbers(text: string): (i: number) => number {
  const all = text.split(",").map(Number);
  const [first] = all as [number];
  return all.length === 1 ? () => first : (i) => all[i] as number;
}

/** Acknowledgements of messages in bundles: parameters of a statement, and what its result says about them. */
export class BundleAcknowledgements {
  readonly #groups: readonly { readonly bundle: Bundle; readonly receipts: readonly PgBossReceipt[] }[];

  constructor(receipts: readonly PgBossReceipt[]) {
    const groups = new Map<Bundle, PgBossReceipt[]>();
    for (const receipt of receipts) {
      const bundle = BundleReceipt.bundleOf(receipt);
      if (bundle === undefined) continue;
      const group = groups.get(bundle);
      if (group === undefined) groups.set(bundle, [receipt]);
      else group.push(receipt);
    }
    this.#groups = Array.from(groups, ([bundle, some]) => ({ bundle, receipts: some }));
  }

  /** Workers, claims, queues, masks. */
  get parameters(): readonly [string[], number[], string[], string[]] {
    const parameters: [string[], number[], string[], string[]] = [[], [], [], []];
    for (const { bundle, receipts } of this.#groups) {
      parameters[0].push(bundle.workerId);
      parameters[1].push(bundle.claim);
      parameters[2].push(bundle.queue);
      parameters[3].push(maskOf(bundle, receipts));
    }
    return parameters;
  }

  /** Adds those that took effect. @param found - `[position from 1, bits that came too late or null]` of each bundle that is there. */
  addSettled(found: readonly (readonly [number, string | null])[], into: Set<PgBossReceipt>): void {
    for (const [number, late] of found) {
      for (const receipt of this.#groups[number - 1]?.receipts ?? []) {
        if (late === null || late.charAt(BundleReceipt.positionOf(receipt)) === "0") into.add(receipt);
      }
    }
  }
}

const [ZERO, ONE] = [0x30, 0x31];

/** By position, never by number: a receipt may be given twice. */
function maskOf({ size }: Bundle, receipts: readonly PgBossReceipt[]): string {
  const bits = Buffer.alloc(size, ZERO);
  for (const receipt of receipts) bits[BundleReceipt.positionOf(receipt)] = ONE;
  return bits.toString("latin1");
}
