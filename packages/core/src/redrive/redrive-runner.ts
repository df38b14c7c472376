import type { Runtime, Timer } from "../clock.ts";
import { toErrorRecord } from "../error-record.ts";
import type { Logger } from "../logger.ts";
import type { Transport } from "../transport.ts";
import { isRedrivable, type RedriveStore } from "./redrives.ts";
import { REDRIVE_LEASE_MS, runRedrive } from "./run-redrive.ts";

/** Milliseconds between two looks for a redrive that nobody carries out; one small statement each, in idle fleets, too. */
const LOOK_EVERY_MS = 10_000;

export interface RedriveRunnerInput {
  readonly transports: Readonly<Record<string, Transport>>;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/**
 * Carries out redrives that were asked for and that nobody has in hand, one at a time per transport. Any number of
 * processes may have one: of each redrive one holds the lease.
 */
export class RedriveRunner {
  readonly #o: RedriveRunnerInput;
  readonly #holder: string;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  #timer: Timer | undefined;
  #started = false;

  constructor(input: RedriveRunnerInput) {
    this.#o = input;
    this.#holder = input.runtime.newId();
  }

  start(): void {
    if (this.#started || this.#stop.signal.aborted) return;
    this.#started = true;
    this.#tick();
  }

  /** Looks now: a redrive has just been made or resumed. */
  wake(): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    for (const [name, transport] of Object.entries(this.#o.transports)) {
      if (!isRedrivable(transport) || this.#running.has(name)) continue;
      this.#running.set(
        name,
        this.#work(name, transport.redrives).finally(() => this.#running.delete(name)),
      );
    }
  }

  /** Lets go of what it carries out; resolves when nothing of it runs any more. Idempotent, safe before `start`. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await Promise.all(this.#running.values());
  }

  #tick(): void {
    if (this.#stop.signal.aborted) return;
    this.wake();
    this.#timer = this.#o.runtime.clock.schedule(LOOK_EVERY_MS, () => this.#tick(), { unref: true });
  }

  async #work(name: string, redrives: RedriveStore): Promise<void> {
    const { runtime, logger } = this.#o;
    const { signal } = this.#stop;
    try {
      while (!signal.aborted) {
        const redrive = await redrives.hold({ holder: this.#holder, leaseMs: REDRIVE_LEASE_MS });
        if (redrive === undefined) return;
        const fields = { transport: name, redrive_id: redrive.id, action: redrive.action };
        logger.info({ ...fields, done: redrive.done, matching: redrive.matching }, "redrive taken up");
        const { state, done, conflicts, reason } = await runRedrive({
          redrives,
          redrive,
          holder: this.#holder,
          clock: runtime.clock,
          signal,
        });
        logger.info({ ...fields, state, done, conflicts, reason }, "redrive left");
      }
    } catch (error) {
      logger.warn({ err: toErrorRecord(error), transport: name }, "a redrive could not be carried out; trying again");
    }
  }
}
