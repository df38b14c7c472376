import type { Clock, Logger, StopReason } from "@symphony/core";
import type { Child } from "./child-process.ts";
import type { Place } from "./place.ts";

export interface RolloverOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Forks a child for this place, or says why not by itself. */
  readonly fork: (place: Place) => Child | undefined;
  readonly dismiss: (child: Child, reason: StopReason) => void;
  readonly isAlive: (child: Child) => boolean;
  readonly isStopping: () => boolean;
}

interface Wanted {
  readonly place: Place;
  readonly child: Child;
  readonly reason: StopReason;
}

/** Tries until a successor that does not come up is given up, and the old child kept. */
const TRIES = 3;
const AGAIN_MS = 2_000;
/** Milliseconds until a place is tried again whose old child still has a reason to go. */
const KEEP_MS = 30_000;

/** Replaces children, one at a time over the whole fleet, each by a successor that is receiving before the old one stops. */
export class Rollover {
  readonly #o: RolloverOptions;
  readonly #queue: Wanted[] = [];
  #working: Promise<void> | undefined;
  #waiters: (() => void)[] = [];

  constructor(options: RolloverOptions) {
    this.#o = options;
  }

  /** Replaces the child that is in this place now, unless that is wanted already. */
  add(place: Place, reason: StopReason): void {
    const { child } = place;
    if (child === undefined || child.leaving || this.#queue.some((wanted) => wanted.child === child)) return;
    this.#queue.push({ place, child, reason });
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** A child was registered or has ended, or the fleet is stopping: whoever waits for that looks again. */
  changed(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  async #work(): Promise<void> {
    for (let wanted = this.#queue[0]; wanted !== undefined && !this.#o.isStopping(); wanted = this.#queue[0]) {
      await this.#replace(wanted);
      this.#queue.shift();
    }
    this.#queue.length = 0;
  }

  async #replace(wanted: Wanted): Promise<void> {
    const { place, child, reason } = wanted;
    const { isAlive, isStopping, dismiss } = this.#o;
    if (place.child !== child || child.leaving || !isAlive(child)) return;
    // Two children would share one allowance, and process more than the limit between them.
    const ready = Number.isFinite(place.allowance) || (await this.#raise(place, child));
    if (isStopping() || !ready || !isAlive(child)) return;
    dismiss(child, reason);
    await this.#until(() => !isAlive(child));
  }

  /** Puts a successor that is receiving into the place; false: none came up, or the fleet is stopping. */
  async #raise(place: Place, old: Child): Promise<boolean> {
    const { clock, logger, fork, isAlive, isStopping } = this.#o;
    for (let tries = 1; tries <= TRIES && !isStopping(); tries++) {
      // It has died meanwhile, and the place was filled as after any death.
      if (place.child !== old) return false;
      const successor = fork(place);
      place.successor = successor;
      await this.#until(() => successor === undefined || successor.registered || !isAlive(successor) || isStopping());
      if (successor !== undefined && isAlive(successor) && successor.registered && !isStopping()) {
        place.child = successor;
        place.successor = undefined;
        return true;
      }
      // The old one may have died meanwhile, and this one have moved up.
      if (place.successor === successor) place.successor = undefined;
      if (!isStopping() && tries < TRIES) await this.#pause(AGAIN_MS);
    }
    if (isStopping()) return false;
    place.notBefore = clock.monotonic() + KEEP_MS;
    logger.error({ child_pid: place.child?.pid ?? null, tries: TRIES }, "no successor came up: keeping the worker process");
    return false;
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.push(resolve);
      await promise;
    }
  }

  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#o.clock.schedule(ms, resolve);
    this.#waiters.push(() => this.#o.isStopping() && resolve());
    return promise.finally(() => timer.cancel());
  }
}
