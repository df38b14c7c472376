import {
  type Clock,
  isCancellable,
  isSupervisable,
  isWakeable,
  type Logger,
  type Timer,
  type Transport,
  toErrorRecord,
} from "@symphony/core";
import type { Child } from "./child-process.ts";
import { ProgressWatch } from "./progress-watch.ts";

export interface WakeFanOptions {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly queues: readonly string[] | undefined;
  readonly pollIntervalMs: number;
  readonly children: () => Iterable<Child>;
  /** Nobody is to receive: nothing needs to be looked for. */
  readonly isPaused: () => boolean;
  /** It lets ready messages lie although it has room: see `ProgressWatch`. */
  readonly onStuck: (child: Child, transport: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds for which wake-ups of busy children are gathered into one. */
const GATHER_MS = 20;

/**
 * Wakes children when there is work: on a notification at once, and by asking the database once per poll interval for
 * the whole fleet, which finds what no notification announced (delayed messages that became due, a lost listener).
 *
 * News of cancellations go the same way, to all of them.
 *
 * One child is woken at a time: it takes a whole batch, and says `more` when it came back full.
 */
export class WakeFan {
  readonly #o: WakeFanOptions;
  readonly #unlisten: (() => Promise<void>)[] = [];
  readonly #progress: ProgressWatch;
  readonly #gathering = new Map<string, Timer>();
  #timer: Timer | undefined;
  #running = false;
  /** Monotonic, when a transport last answered whether there is work; undefined before. */
  lastPollAt: number | undefined;

  constructor(options: WakeFanOptions) {
    this.#o = options;
    this.#progress = new ProgressWatch(options.pollIntervalMs);
  }

  /** Resolves when it is listening, or when it is known that it cannot. Never rejects: polling finds everything. */
  async start(): Promise<void> {
    this.#running = true;
    this.#schedulePoll();
    await Promise.all(Object.entries(this.#o.transports).map(([name, transport]) => this.#listen(name, transport)));
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    for (const timer of this.#gathering.values()) timer.cancel();
    this.#gathering.clear();
    await Promise.all(this.#unlisten.splice(0).map((unlisten) => unlisten()));
  }

  /**
   * Wakes the child with the most room, other than the one that asks.
   *
   * @param queues - Those that are known to have something; empty: not known.
   */
  wake(transport: string, { asking, queues = [] }: { readonly asking?: Child; readonly queues?: readonly string[] } = {}): void {
    let [best, mostRoom] = [undefined as Child | undefined, 0];
    for (const child of this.#o.children()) {
      // Whoever did not come when it was called is called again only if there is nobody else.
      const room = child.freeSlots(transport) / (this.#progress.isSlow(child, transport) ? 1e6 : 1);
      if (child !== asking && room > mostRoom) [best, mostRoom] = [child, room];
    }
    if (best !== undefined) {
      this.#progress.woken(best, transport, this.#o.clock.monotonic());
      best.send({ kind: "wake", transport, queues });
    } else if (asking === undefined) this.#wakeAllSoon(transport);
  }

  /** All were busy when they last said something, up to a second ago: who is not any more would sleep through this one. */
  #wakeAllSoon(transport: string): void {
    if (!this.#running || this.#gathering.has(transport)) return;
    const timer = this.#o.clock.schedule(GATHER_MS, () => {
      this.#gathering.delete(transport);
      for (const child of this.#o.children()) if (child.isReceiving(transport)) child.send({ kind: "wake", transport, queues: [] });
    });
    this.#gathering.set(transport, timer);
  }

  async #listen(name: string, transport: Transport): Promise<void> {
    try {
      if (isWakeable(transport)) await this.#keep(await transport.onWake((queues) => this.wake(name, { queues })));
      // Whoever holds it: every child asks for its own.
      if (isCancellable(transport)) await this.#keep(await transport.onCancel(() => this.#tellCancelled(name)));
    } catch (error) {
      this.#o.logger.warn({ err: toErrorRecord(error), transport: name }, "no wake-ups from this transport: polling only");
    }
  }

  async #keep(unlisten: () => Promise<void>): Promise<void> {
    if (this.#running) this.#unlisten.push(unlisten);
    else await unlisten();
  }

  #tellCancelled(transport: string): void {
    for (const child of this.#o.children()) if (child.leases.has(transport)) child.send({ kind: "cancelled", transport });
  }

  async #poll(): Promise<void> {
    if (this.#o.isPaused()) return;
    for (const [name, transport] of Object.entries(this.#o.transports)) {
      // Without a free slot anywhere nobody could take it; whoever finishes asks for more by itself.
      if (!isSupervisable(transport) || ![...this.#o.children()].some((child) => child.freeSlots(name) > 0)) continue;
      try {
        const isReady = await transport.hasReady(this.#o.queues);
        this.lastPollAt = this.#o.clock.monotonic();
        if (!isReady) this.#progress.reset(name);
        else {
          for (const stuck of this.#progress.waiting<Child>(name)) this.#o.onStuck(stuck, name);
          this.wake(name);
        }
      } catch (error) {
        this.#progress.reset(name);
        this.#o.logger.debug({ err: toErrorRecord(error), transport: name }, "could not ask for waiting messages");
      }
    }
  }

  #schedulePoll(): void {
    if (!this.#running) return;
    this.#timer = this.#o.clock.schedule(this.#o.pollIntervalMs, () => void this.#poll().then(() => this.#schedulePoll()));
  }
}
