import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, Timer } from "@symphony/core";

/** Milliseconds. Who had nothing to do from one look to the next one is idle. */
const LOOK_EVERY_MS = 5_000;
/** Messages that leave behind what is worth a collection: tens of megabytes. Fewer would make a pause of every pause. */
const WORTH_IT = 1_000;

/** Bytes in use, of which most may be garbage: one collection of so many takes a tenth of a second. */
const LARGEST_HEAP = 256 * 2 ** 20;
/** Bytes that are needed: what gives their pages back takes 1.5 ms for each MB of them. */
const MOST_NEEDED = 64 * 2 ** 20;

/** A context takes a millisecond. Who has not found it by then does without until it is told again. */
const MOST_TRIES = 20;

let collect: NodeJS.GCFunction | undefined;

/**
 * Collects all garbage of this thread and gives its pages back to the system: some 25 ms, and never much more than 200,
 * since a heap of more than 256 MB is left alone.
 *
 * V8 does that by itself only when memory is short in the heap; that it is short in the container it does not know. Loading
 * alone leaves 8 of a thread's 20 MB behind (Node.js 24).
 */
export function collectAll(): void {
  if (getHeapStatistics().used_heap_size > LARGEST_HEAP) return;
  collect ??= findCollector();
  if (collect === undefined) return;
  collect({ type: "major", execution: "sync" });
  if (getHeapStatistics().used_heap_size <= MOST_NEEDED) collect({ type: "major", execution: "sync", flavor: "last-resort" });
}

/**
 * The flag counts for contexts that are made meanwhile, in the whole process: the threads of one tidy up at the same moment,
 * and whoever has found its collector takes the flag from the others, who then try again. Left on, handlers of later
 * threads would have a `gc`, and V8 would refuse compiled code that was kept without it.
 */
function findCollector(): NodeJS.GCFunction | undefined {
  let found: NodeJS.GCFunction | undefined;
  for (let tries = 0; found === undefined && tries < MOST_TRIES; tries++) {
    setFlagsFromString("--expose-gc");
    found = runInNewContext("globalThis.gc") as NodeJS.GCFunction | undefined;
  }
  setFlagsFromString("--no-expose-gc");
  return found;
}

export interface IdleTidyInput {
  readonly clock: Clock;
  /** Messages handled since the start, and how many are being handled. */
  readonly work: () => { readonly processed: number; readonly inFlight: number };
  readonly tidy: () => void;
}

/** Tidies up when the work is over: first what the start has left, then what thousands of messages have. */
export class IdleTidy {
  readonly #o: IdleTidyInput;
  #timer: Timer | undefined;
  #seen = 0;
  #tidiedAt: number | undefined;

  constructor(input: IdleTidyInput) {
    this.#o = input;
  }

  start(): void {
    this.#timer = this.#o.clock.schedule(LOOK_EVERY_MS, () => this.#look(), { unref: true });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const { processed, inFlight } = this.#o.work();
    const isIdle = processed === this.#seen && inFlight === 0;
    this.#seen = processed;
    if (isIdle && (this.#tidiedAt === undefined || processed - this.#tidiedAt >= WORTH_IT)) {
      this.#tidiedAt = processed;
      this.#o.tidy();
    }
    this.start();
  }
}
