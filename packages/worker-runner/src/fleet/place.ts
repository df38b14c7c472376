import type { ChildExit } from "../respawn.ts";
import type { Child } from "./child-process.ts";

/** Where one child at a time lives; during a replacement its successor is there as well. */
export interface Place {
  child: Child | undefined;
  successor: Child | undefined;
  exits: readonly ChildExit[];
  /** Messages that its children may still process; infinite without a limit. */
  allowance: number;
  /** Monotonic; until then it is left alone, since its last replacement did not come up. */
  notBefore: number;
}

/** One for each process that is wanted. A message limit is shared out; the first ones take what does not divide. */
export function makePlaces(processes: number, messageLimit: number | undefined): readonly Place[] {
  return Array.from({ length: processes }, (_, n) => ({
    child: undefined,
    successor: undefined,
    exits: [],
    allowance:
      messageLimit === undefined ? Number.POSITIVE_INFINITY : Math.floor(messageLimit / processes) + (n < messageLimit % processes ? 1 : 0),
    notBefore: Number.NEGATIVE_INFINITY,
  }));
}
