import { countOomKills } from "../container-limits.ts";
import type { ChildEnd } from "./child-process.ts";

/**
 * Tells whether a message can have caused the end of its process. SIGKILL is in no handler's power as long as the memory
 * does not run out: without a word of the kernel that it did, somebody else sent it, and nobody is to be suspected.
 */
export class KillEvidence {
  #oomKills: number | undefined;
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
    return before === undefined || this.#oomKills !== before;
  }
}
