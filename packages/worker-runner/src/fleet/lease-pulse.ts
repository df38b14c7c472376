import {
  type Clock,
  isReapable,
  isSupervisable,
  type Logger,
  type Timer,
  type Transport,
  toErrorRecord,
  type WorkerPulse,
} from "@symphony/core";
import type { Child, Lease } from "./child-process.ts";

/** Milliseconds between two pulses, after one that failed, and without a beat until a worker may be reaped (design, section 3). */
const PULSE_MS = 3_000;
const PULSE_AGAIN_MS = 1_000;
const LEASE_MS = 10_000;
/**
 * Milliseconds between two looks for messages that are held by nobody. Workers that died are seen by the next pulse,
 * which tells how long the most silent one has been: with the lease their work is elsewhere within 15 s.
 */
const REAP_MS = 8_000;
/** The same where the pulse does not tell. */
const LONE_REAP_MS = 4_000;
/** Milliseconds that two clocks may differ by before it is said: more than a slow answer explains. */
const SKEW_MS = 10_000;

export interface LeasePulseOptions {
  readonly name: string;
  readonly transport: Transport;
  readonly children: () => Iterable<Child>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** The child's lease on this transport is in the database. */
  readonly onRenewed: (child: Child) => void;
  /** The fleet was asked, through the database, to replace its workers. */
  readonly onStopRequested: () => void;
}

/**
 * Keeps the leases of all children on one transport alive, one statement per pulse, and takes back the work of workers
 * anywhere that stopped beating. Database time decides; the children are told how old their renewal is. Each transport
 * has its own: what one database does must not cost the leases on another.
 */
export class LeasePulse {
  readonly #o: LeasePulseOptions;
  /** Requests from before this moment are not meant for us. */
  #since: string | undefined;
  #pulseTimer: Timer | undefined;
  #reapTimer: Timer | undefined;
  #running = false;
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #renewedAt: number | undefined;
  #saidSkew = false;
  lastError: string | null = null;
  /** Milliseconds that this machine's clock is ahead of the database's, as of the last pulse; null before the first. */
  skewMs: number | null = null;

  constructor(options: LeasePulseOptions) {
    this.#o = options;
  }

  /** Milliseconds since the last pulse that succeeded was begun; null before the first. */
  get ageMs(): number | null {
    return this.#renewedAt === undefined ? null : this.#o.clock.monotonic() - this.#renewedAt;
  }

  start(): void {
    this.#running = true;
    void this.pulse();
    this.#scheduleReap();
  }

  stop(): void {
    this.#running = false;
    this.#pulseTimer?.cancel();
    this.#reapTimer?.cancel();
  }

  /** Renews now, also registering children that became ready. One at a time, and one more for all who ask meanwhile. Never rejects. */
  pulse(): Promise<void> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      this.#current = this.#pulseOnce();
      return this.#current;
    });
    return this.#next;
  }

  async #pulseOnce(): Promise<void> {
    const { name, clock, logger } = this.#o;
    const held = [...this.#o.children()].flatMap((child) => {
      const lease = child.leases.get(name);
      return lease === undefined ? [] : [{ child, lease }];
    });
    const startedAt = clock.monotonic();
    try {
      const lost = await this.#renew(held);
      const age = { at: startedAt, ageMs: clock.monotonic() - startedAt };
      this.#renewedAt = startedAt;
      if (this.lastError !== null) logger.info({ transport: name }, "the leases are renewed again");
      this.lastError = null;
      for (const { child, lease } of held) this.#tell(child, lease, lost, age);
    } catch (error) {
      const err = toErrorRecord(error);
      if (this.lastError !== err.message) logger.warn({ err, transport: name }, "the leases could not be renewed");
      this.lastError = err.message;
    }
    this.#schedulePulse(this.lastError === null ? Math.max(0, PULSE_MS - (clock.monotonic() - startedAt)) : PULSE_AGAIN_MS);
  }

  /** Resolves with the ids of those that are gone. */
  async #renew(held: readonly { readonly child: Child; readonly lease: Lease }[]): Promise<ReadonlySet<string>> {
    const { transport } = this.#o;
    const pulses = held.map(({ child, lease }): WorkerPulse => ({ worker: lease.worker, inFlight: child.lastBeat.inFlight }));
    if (!isSupervisable(transport)) {
      if (!isReapable(transport)) return new Set();
      const alive = await Promise.all(pulses.map(({ worker, inFlight }) => transport.beat(worker, inFlight)));
      return new Set(pulses.flatMap(({ worker }, i) => (alive[i] === false ? [worker.workerId] : [])));
    }
    const { lost, stopRequestedAt, now, silentMs } = await transport.pulse(pulses);
    this.#compareClocks(Date.parse(now));
    if (silentMs >= LEASE_MS) void this.#reap();
    this.#since ??= now;
    if (stopRequestedAt !== null && stopRequestedAt > this.#since) {
      this.#since = stopRequestedAt;
      this.#o.onStopRequested();
    }
    return new Set(lost);
  }

  /** Nothing of ours depends on this machine's clock; what people read in its logs does, and so may the application. */
  #compareClocks(databaseMs: number): void {
    const { clock, logger, name } = this.#o;
    this.skewMs = clock.now() - databaseMs;
    const off = Math.abs(this.skewMs) >= SKEW_MS;
    if (off === this.#saidSkew) return;
    this.#saidSkew = off;
    const fields = { transport: name, skew_ms: Math.round(this.skewMs) };
    if (off) logger.warn(fields, "the clock of this machine and that of the database differ; the database's is the one that counts");
    else logger.info(fields, "the clock of this machine and that of the database agree again");
  }

  #tell(child: Child, lease: Lease, lost: ReadonlySet<string>, age: { readonly ageMs: number; readonly at: number }): void {
    const { name } = this.#o;
    // It has given this lease up while the pulse was under way: the news is about nobody.
    if (child.leases.get(name) !== lease) return;
    if (lost.has(lease.worker.workerId)) child.loseLease(name, lease);
    else {
      child.renewed(name, lease, age);
      this.#o.onRenewed(child);
    }
  }

  async #reap(): Promise<void> {
    const { transport, name, logger } = this.#o;
    if (!isReapable(transport)) return;
    try {
      const { workers, messages } = await transport.reap(LEASE_MS);
      if (workers.length > 0 || messages > 0)
        logger.warn({ transport: name, workers, messages }, "took back the work of workers that stopped beating");
    } catch (error) {
      // Said by the pulse already when the database is away.
      logger[this.lastError === null ? "warn" : "debug"]({ err: toErrorRecord(error), transport: name }, "could not look for dead workers");
    }
  }

  #schedulePulse(delayMs: number): void {
    this.#pulseTimer?.cancel();
    if (this.#running) this.#pulseTimer = this.#o.clock.schedule(delayMs, () => void this.pulse());
  }

  #scheduleReap(): void {
    if (!this.#running) return;
    // Spread, so that many containers do not ask at the same moment.
    const delayMs = (isSupervisable(this.#o.transport) ? REAP_MS : LONE_REAP_MS) * (0.75 + this.#o.random() / 2);
    this.#reapTimer = this.#o.clock.schedule(delayMs, () => void this.#reap().then(() => this.#scheduleReap()));
  }
}
