import { countOomKills } from "../container-limits.ts";
import type { ChildEnd } from "./child-process.ts";

/**
 * Tells whether a message can have caused the end of its process. SIGKILL is in no handler's power as long as the memory
 * does not run out: without a word of the kernel that it did, somebody else sent it, and nobody is to be suspected.
 */
export class KillEvidence {
  #oomKills: number | undefined;
  /** The kernel's kills that no end of a process stands for yet: it may have killed two before we hear of the first. */
  #unmatched = 0;
  readonly #count: () => number | undefined;

  constructor(count: () => number | undefined = countOomKills) {
    this.#count = count;
    this.#oomKills = count();
  }

  /** True also when there is no way to know. */
  pointsAtMessages(end: Pick<ChildEnd, "signal" | "silent">): boolean {
    if (end.signal !== "SIGKILL" || end.silent) return true;
    const before = this.#oomKills;
    this.#oomKills = this.#count();
    if (before === undefined || this.#oomKills === undefined) return true;
    this.#unmatched += Math.max(0, this.#oomKills - before);
    if (this.#unmatched === 0) return false;
    this.#unmatched -= 1;
    return true;
  }
}
