import cluster from "node:cluster";
import { randomUUID } from "node:crypto";
import {
  ATTRIBUTES,
  type ErrorRecord,
  METRICS,
  MessageMetrics,
  RedriveRunner,
  type StopReason,
  toErrorRecord,
  type WorkerInfo,
} from "@symphony/core";
import { fruitlessInARow, isPermanent, restartDelayMs, wasProductive } from "../respawn.ts";
import { Child, type ChildEnd } from "./child-process.ts";
import { type HandBackOptions, handBack, type Leaver } from "./hand-back.ts";
import type { ChildBeat, FromChild } from "./ipc.ts";
import { KillEvidence } from "./kill-evidence.ts";
import { LeasePulse } from "./lease-pulse.ts";
import { makePlaces, type Place } from "./place.ts";
import { recycleReason } from "./recycle.ts";
import { Rollover } from "./rollover.ts";
import type { ChildShape, FleetState, SupervisorOptions } from "./supervisor-options.ts";
import { Suspects } from "./suspects.ts";
import { Tally } from "./tally.ts";
import { WakeFan } from "./wake-fan.ts";

/**
 * Milliseconds after the deadline until a child that has still not gone is killed: after the half second that handlers
 * are given to end, and early enough for the supervisor to hand back what is left and to end within the second itself.
 */
const KILL_AFTER_MS = 700;
const EXITS_KEPT = 8;
/** Milliseconds for handing back what a child left behind, when the fleet is stopping. */
const LAST_WORDS_MS = 1_000;
/** Milliseconds after the death of a process until no statement of its own can be running any more, but for a stalled database. */
const LATE_CLAIM_MS = 300;
/** Milliseconds that a child is given to abort what it gave up with its lease, before that is handed back. */
const HAND_BACK_AFTER_MS = 2_000;

/**
 * The process that looks after the others: forks them, replaces those that end, hands their work back at once, keeps
 * their leases, wakes them, and stops them in order. It runs no handlers and loads no configuration of the user.
 */
export class Supervisor {
  readonly #o: SupervisorOptions;
  readonly #places: readonly Place[];
  readonly #pulses: readonly LeasePulse[];
  readonly #wakeFan: WakeFan;
  readonly #redrives: RedriveRunner;
  readonly #suspects: Suspects;
  readonly #rollover: Rollover;
  readonly #handBack: HandBackOptions;
  readonly #ended = Promise.withResolvers<StopReason>();
  readonly #children = new Set<Child>();
  readonly #evidence = new KillEvidence();
  readonly #tally = new Tally();
  #shape: ChildShape;
  /** Children that are gone and whose work is still being handed back. */
  #cleaningUp = 0;
  #restarts = 0;
  #everReady = false;
  #paused = false;
  #stopReason: StopReason | undefined;
  #failure: ErrorRecord | undefined;
  #deadline = Number.POSITIVE_INFINITY;
  #lastBootError: string | null = null;

  constructor(options: SupervisorOptions) {
    const { transports, logger, runtime, queues, pollIntervalMs } = options;
    const { clock, random } = runtime;
    this.#o = options;
    this.#shape = options.childShape;
    this.#places = makePlaces(options.processes, options.messageLimit);
    for (const reason of ["planned", "failed", "silent", "crashed"])
      options.meter.counter(METRICS.workerRestarts, { [ATTRIBUTES.reason]: reason });
    this.#handBack = { transports, logger, onHandedBack: (name) => this.#wakeFan.wake(name) };
    this.#pulses = Object.entries(transports).map(
      ([name, transport]) =>
        new LeasePulse({
          ...{ name, transport, clock, random, logger },
          children: () => this.#children,
          onRenewed: (child) => this.#onRenewed(child),
          onStopRequested: () => this.replaceAll("stop-workers"),
        }),
    );
    this.#wakeFan = new WakeFan({
      ...{ transports, queues, pollIntervalMs, clock, logger },
      children: () => this.#consumers(),
      isPaused: () => this.#paused || this.#stopReason !== undefined,
      onStuck: (child, transport) => this.#onStuck(child, transport),
    });
    this.#redrives = new RedriveRunner({ transports, runtime, logger });
    this.#suspects = new Suspects({
      ...this.#handBack,
      ...{ clock, random, supervisorId: randomUUID(), metrics: new MessageMetrics(options.meter) },
      forkLane: () => this.#fork({ SYMPHONY_CHILD_LANE: "1" }),
    });
    this.#rollover = new Rollover({
      ...{ clock, logger },
      fork: (place) => this.#forkFor(place),
      dismiss: (child, reason) => this.#dismiss(child, reason, this.#o.shutdownTimeoutMs),
      isAlive: (child) => this.#children.has(child),
      isStopping: () => this.#stopReason !== undefined,
    });
  }

  /** Runs the fleet; resolves with the reason when it has stopped and nothing of it runs any more. */
  async run(): Promise<StopReason> {
    const { childModule, childArgv, timeLimitMs, runtime } = this.#o;
    // Children do not read what is typed into the supervisor's terminal.
    cluster.setupPrimary({
      exec: childModule,
      args: [...childArgv],
      execArgv: [...this.#shape.execArgv],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    for (const place of this.#places) this.#fill(place);
    for (const pulse of this.#pulses) pulse.start();
    const listening = this.#wakeFan.start();
    this.#redrives.start();
    const timer = timeLimitMs === undefined ? undefined : runtime.clock.schedule(timeLimitMs, () => this.stop("time_limit"));
    const reason = await this.#ended.promise;
    timer?.cancel();
    for (const pulse of this.#pulses) pulse.stop();
    await Promise.all([listening, this.#redrives.stop()]);
    await this.#wakeFan.stop();
    return reason;
  }

  /** Begins the orderly stop; called again, it shortens the deadline. `run` resolves when it is done. */
  stop(reason: StopReason, deadlineMs: number = this.#o.shutdownTimeoutMs): void {
    const { clock } = this.#o.runtime;
    this.#stopReason ??= reason;
    this.#suspects.close();
    this.#rollover.changed();
    const deadline = clock.monotonic() + deadlineMs;
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    for (const child of this.#children) this.#dismiss(child, this.#stopReason, deadlineMs);
    this.#endIfEmpty();
  }

  pause(): void {
    this.#paused = true;
    for (const child of this.#children) child.send({ kind: "pause" });
  }

  resume(): void {
    this.#paused = false;
    for (const child of this.#children) child.send({ kind: "resume" });
  }

  /** Replaces the children that there are now one by one, each by a successor that is already receiving. */
  replaceAll(cause: string): void {
    if (this.#stopReason !== undefined) return;
    this.#o.logger.info({ cause }, "replacing the worker processes one by one");
    for (const place of this.#places) this.#rollover.add(place, "signal");
  }

  /** How children are started from now on; those that there are get successors of that kind, one by one. */
  reshape(shape: ChildShape, cause: string): void {
    this.#shape = shape;
    cluster.setupPrimary({ execArgv: [...shape.execArgv] });
    this.replaceAll(cause);
  }

  state(): FleetState {
    const ages = this.#pulses.map(({ ageMs }) => ageMs);
    const present = this.#places.filter(({ child }) => child !== undefined);
    return {
      // A place whose share of the message limit is done wants nobody.
      wanted: this.#places.filter(({ child, allowance }) => child !== undefined || allowance > 0).length,
      living: present.length,
      ready: present.filter(({ child }) => child?.registered === true && !child.leaving).length,
      everReady: this.#everReady,
      stopping: this.#stopReason !== undefined,
      paused: this.#paused,
      restarts: this.#restarts,
      pollAgeMs: this.#pollAgeMs(),
      crashLoop: Math.max(0, ...this.#places.map(({ exits }) => fruitlessInARow(exits))),
      suspects: this.#suspects.waiting,
      lastBootError: this.#lastBootError,
      leaseAgeMs: ages.includes(null) ? null : Math.max(0, ...ages.map((age) => age ?? 0)),
      clockSkewMs: this.#pulses.reduce<number | null>(
        (most, { skewMs }) => (Math.abs(skewMs ?? 0) > Math.abs(most ?? -1) ? skewMs : most),
        null,
      ),
      leaseError: this.#pulses.find(({ lastError }) => lastError !== null)?.lastError ?? null,
      failure: this.#failure ?? null,
      totals: this.#totals(),
      pids: [...this.#children].map((child) => child.pid),
    };
  }

  #pollAgeMs(): number | null {
    const polls = [this.#wakeFan.lastPollAt, ...[...this.#children].map(({ lastPollAt }) => lastPollAt)].filter((at) => at !== undefined);
    return polls.length === 0 ? null : this.#o.runtime.clock.monotonic() - Math.max(...polls);
  }

  #totals(): ChildBeat {
    return this.#tally.totals(this.#children, this.#suspects.charged);
  }

  #placeOf(child: Child): Place | undefined {
    return this.#places.find((place) => place.child === child);
  }

  #consumers(): readonly Child[] {
    return this.#places.flatMap(({ child, successor }) => [child, successor].filter((one) => one !== undefined));
  }

  #fill(place: Place): void {
    if (this.#stopReason !== undefined || place.allowance <= 0 || place.child !== undefined) return;
    place.child = this.#forkFor(place);
    if (place.child === undefined) this.#o.runtime.clock.schedule(restartDelayMs(place.exits), () => this.#fill(place), { unref: true });
  }

  #forkFor(place: Place): Child | undefined {
    const child = this.#fork(Number.isFinite(place.allowance) ? { SYMPHONY_CHILD_MESSAGE_LIMIT: String(place.allowance) } : {});
    if (child === undefined) {
      const exit = { at: this.#o.runtime.clock.monotonic(), livedMs: 0, planned: false, productive: false };
      place.exits = [...place.exits, exit].slice(-EXITS_KEPT);
    }
    return child;
  }

  #fork(env: Readonly<Record<string, string>> = {}): Child | undefined {
    try {
      const child = new Child({ ...this.#shape.env, ...env }, this.#o.runtime.clock, {
        message: (from, message) => this.#onMessage(from, message),
        ended: (from, end) => void this.#onEnded(from, end),
      });
      this.#children.add(child);
      return child;
    } catch (error) {
      this.#o.logger.error({ err: toErrorRecord(error) }, "a worker process could not be started");
      return undefined;
    }
  }

  #onMessage(child: Child, message: FromChild): void {
    switch (message.kind) {
      case "ready":
        this.#onReady(child, message.workers);
        return;
      case "beat":
        this.#o.meter.merge(message.metrics);
        this.#onBeat(child);
        return;
      case "more":
        this.#wakeFan.wake(message.transport, { asking: child });
        return;
      case "isolate":
        this.#suspects.add(message.suspects);
        return;
      case "running":
        this.#suspects.laneRuns(message.held);
        return;
      case "laneEmpty":
        this.#suspects.laneEmpty();
        return;
      case "limit":
        this.#onLimit(child, message.reason);
        return;
      case "failed":
        this.#lastBootError = message.error.message;
        this.#o.logger.error({ err: message.error, child_pid: child.pid }, "a worker process failed");
        return;
      case "stopped":
        this.#o.meter.merge(message.metrics);
        return;
    }
  }

  /** It has connected, or has given a lease up and taken a new id; what it held under the old one is handed back. */
  #onReady(child: Child, workers: Readonly<Record<string, WorkerInfo>>): void {
    const given: Leaver[] = [];
    for (const [transport, worker] of Object.entries(workers)) {
      const old = child.leases.get(transport);
      if (old?.worker.workerId === worker.workerId) continue;
      if (old !== undefined) given.push({ transport, workerId: old.worker.workerId, pid: child.pid });
      child.leases.set(transport, { worker, registered: false });
    }
    if (given.length > 0) {
      this.#o.runtime.clock.schedule(HAND_BACK_AFTER_MS, () => void handBack(given, false, this.#handBack), { unref: true });
    }
    if (this.#paused) child.send({ kind: "pause" });
    for (const pulse of this.#pulses) void pulse.pulse();
  }

  #onRenewed(child: Child): void {
    if (!child.registered) return;
    this.#everReady = true;
    this.#lastBootError = null;
    if (this.#suspects.isLane(child)) this.#suspects.laneRegistered(child);
    this.#rollover.changed();
  }

  #onBeat(child: Child): void {
    if (this.#stopReason !== undefined) return;
    const { messageLimit = Number.POSITIVE_INFINITY, failureLimit = Number.POSITIVE_INFINITY, runtime } = this.#o;
    const { processed, failed } = this.#totals();
    if (processed >= messageLimit) this.stop("message_limit");
    if (failed >= failureLimit) this.stop("failure_limit");
    const place = this.#placeOf(child);
    const now = runtime.clock.monotonic();
    if (place === undefined || !child.registered || now < place.notBefore) return;
    const reason = recycleReason(this.#shape.recycle, { ...child.lastBeat, livedMs: now - child.forkedAt });
    if (reason !== undefined) this.#rollover.add(place, reason);
  }

  /** Its event loop turns, its leases are renewed, and yet it does nothing: for reasons that a fresh process may not have. */
  #onStuck(child: Child, transport: string): void {
    const place = this.#placeOf(child);
    if (place === undefined || this.#stopReason !== undefined || this.#o.runtime.clock.monotonic() < place.notBefore) return;
    this.#o.logger.error({ child_pid: child.pid, transport }, "a worker process lets ready messages lie: replacing it");
    this.#rollover.add(place, "error");
  }

  /** It ends by itself, and its exit follows. */
  #onLimit(child: Child, reason: StopReason): void {
    const place = this.#placeOf(child);
    if (place === undefined || this.#stopReason !== undefined || reason === "error") return;
    child.leaving = true;
    if (reason === "message_limit") place.allowance = 0;
    // The others may have their shares still to do.
    if (reason !== "message_limit" || this.#places.every(({ allowance }) => allowance <= 0)) this.stop(reason);
  }

  #dismiss(child: Child, reason: StopReason, deadlineMs: number): void {
    child.leaving = true;
    // What is still loading does not hear, and holds nothing.
    if (!child.everRegistered) child.kill("SIGKILL");
    else child.send({ kind: "stop", reason, deadlineMs });
    this.#o.runtime.clock.schedule(deadlineMs + KILL_AFTER_MS, () => this.#children.has(child) && child.kill("SIGKILL"), { unref: true });
  }

  async #onEnded(child: Child, end: ChildEnd): Promise<void> {
    this.#children.delete(child);
    this.#cleaningUp += 1;
    this.#tally.retain(child.lastBeat);
    const clean = child.leaving && (end.code === 0 || !child.everRegistered);
    const fields = { child_pid: child.pid, code: end.code, signal: end.signal, in_flight: child.lastBeat.inFlight };
    this.#o.logger[clean ? "debug" : "warn"](fields, clean ? "worker process ended" : "worker process died");
    this.#countRestart(child, end);
    if (!clean && !child.everRegistered && child.failure === undefined)
      this.#lastBootError = `a worker process ended with ${end.signal ?? `exit code ${end.code}`} before it was ready`;
    const suspected = !child.leaving && child.failure === undefined && this.#evidence.pointsAtMessages(end);
    const leavers = [...child.leases].map(([transport, { worker }]) => ({ transport, workerId: worker.workerId, pid: child.pid }));
    if (this.#suspects.isLane(child)) await this.#inTime(this.#suspects.laneEnded(child, leavers, end, suspected));
    else {
      this.#refill(child, end, suspected);
      await this.#inTime(handBack(leavers, suspected, this.#handBack));
      // A claim of the dead process may still have been running in the database, and have committed after this.
      if (!clean && this.#stopReason === undefined) {
        this.#o.runtime.clock.schedule(LATE_CLAIM_MS, () => void handBack(leavers, false, this.#handBack), { unref: true });
      }
    }
    this.#rollover.changed();
    this.#cleaningUp -= 1;
    this.#endIfEmpty();
  }

  #countRestart(child: Child, end: ChildEnd): void {
    // An idle lane is not replaced, and nobody is when the fleet stops.
    if (this.#stopReason !== undefined || (child.leaving && this.#suspects.isLane(child))) return;
    const reason = child.leaving ? "planned" : child.failure !== undefined ? "failed" : end.silent ? "silent" : "crashed";
    this.#o.meter.counter(METRICS.workerRestarts, { [ATTRIBUTES.reason]: reason }).add(1);
  }

  /** A store that is away must not hold the end of the fleet up. */
  async #inTime(work: Promise<void>): Promise<void> {
    if (this.#stopReason === undefined) return await work;
    const late = Promise.withResolvers<void>();
    const timer = this.#o.runtime.clock.schedule(LAST_WORDS_MS, late.resolve);
    await Promise.race([work, late.promise]);
    timer.cancel();
  }

  #refill(child: Child, end: ChildEnd, suspected: boolean): void {
    const place = this.#placeOf(child);
    if (place === undefined) return;
    const { clock } = this.#o.runtime;
    const exit = { at: clock.monotonic(), livedMs: end.livedMs, planned: child.leaving, productive: wasProductive(child, suspected) };
    place.exits = [...place.exits, exit].slice(-EXITS_KEPT);
    place.allowance = Math.max(0, place.allowance - child.lastBeat.processed);
    // One that was to replace it is on its way, or there already.
    place.child = place.successor;
    place.successor = undefined;
    if (this.#stopReason !== undefined) return;
    this.#restarts += 1;
    const hopeless = isPermanent(child.failure?.code) && !this.#consumers().some((other) => other.registered);
    if (hopeless) this.#fail(child.failure);
    else if (place.child === undefined) clock.schedule(restartDelayMs(place.exits), () => this.#fill(place), { unref: true });
  }

  /** Nobody receives, and nobody will until something is changed. */
  #fail(failure: ErrorRecord | undefined): void {
    this.#failure = failure;
    this.stop("error", 0);
  }

  #endIfEmpty(): void {
    if (this.#stopReason !== undefined && this.#children.size === 0 && this.#cleaningUp === 0) this.#ended.resolve(this.#stopReason);
  }
}
