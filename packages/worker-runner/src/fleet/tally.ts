import type { Child } from "./child-process.ts";
import type { ChildBeat } from "./ipc.ts";

const NOTHING: ChildBeat = { inFlight: 0, slots: 0, processed: 0, failed: 0, leaseLost: 0, rssBytes: 0 };

/** What the fleet has done: a child that is gone keeps its place in the sums. */
export class Tally {
  #past = NOTHING;

  retain({ processed, failed, leaseLost }: ChildBeat): void {
    const past = this.#past;
    this.#past = { ...NOTHING, processed: past.processed + processed, failed: past.failed + failed, leaseLost: past.leaseLost + leaseLost };
  }

  /** @param charged - Attempts that ended with their process, so that no child has counted them. */
  totals(children: Iterable<Child>, charged: number): ChildBeat {
    const beats = [this.#past, ...[...children].map((child) => child.lastBeat)];
    const sum = (key: keyof ChildBeat): number => beats.reduce((total, beat) => total + beat[key], 0);
    return {
      inFlight: sum("inFlight"),
      slots: sum("slots"),
      rssBytes: sum("rssBytes"),
      processed: sum("processed") + charged,
      failed: sum("failed") + charged,
      leaseLost: sum("leaseLost"),
    };
  }
}
