import {
  type Clock,
  type Decision,
  decide,
  type ErrorRecord,
  isSupervisable,
  type MessageMetrics,
  MessengerError,
  multiplierRetry,
  type Receipt,
  type Timer,
  type Transport,
  toDecisionInput,
  toErrorRecord,
} from "@symphony/core";
import { type ChildExit, restartDelayMs } from "../respawn.ts";
import type { Child, ChildEnd } from "./child-process.ts";
import { type HandBackOptions, handBack, type Leaver } from "./hand-back.ts";
import type { Held, SuspectHeld } from "./ipc.ts";

export interface SuspectsOptions extends HandBackOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Forks a process that receives nothing and runs what it is told to adopt, one at a time. */
  readonly forkLane: () => Child | undefined;
  readonly supervisorId: string;
  readonly metrics: MessageMetrics;
}

/** Deliveries handed to the lane at a time: few enough to finish within a lease's patience when one of them kills it. */
const LANE_BATCH = 50;
/** Milliseconds without suspects until the lane's process ends. */
const LANE_IDLE_MS = 30_000;
/** For the delay after a proven crash; the message type's own strategy is user code, which the supervisor does not load. */
const CRASH_STRATEGY = multiplierRetry();

/**
 * Finds out which message kills processes. Whatever was in flight when a child died went back to the queue as a suspect;
 * children that receive suspects pass them here, and they run alone in the isolation lane: who completes is cleared, who
 * kills the lane is charged with the crash, and with the third one it is dead-lettered.
 */
export class Suspects {
  readonly #o: SuspectsOptions;
  #waiting: SuspectHeld[] = [];
  /** Given to the lane, which has not said yet that it is through with them; until it takes them over, their finders hold them. */
  #handed: readonly SuspectHeld[] = [];
  /** Crashes written down: attempts that no child has counted. */
  charged = 0;
  #lane: Child | undefined;
  #laneIds = "";
  #running: readonly Held[] = [];
  /** The lane has deliveries that it has not reported done. */
  #busy = false;
  #idleTimer: Timer | undefined;
  #closed = false;
  #exits: readonly ChildExit[] = [];

  constructor(options: SuspectsOptions) {
    this.#o = options;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  isLane(child: Child): boolean {
    return child === this.#lane;
  }

  /** The lane's process, when there is one: it is stopped and counted with the others. */
  get lane(): Child | undefined {
    return this.#lane;
  }

  add(suspects: readonly SuspectHeld[]): void {
    this.#waiting.push(...suspects);
    this.#feed();
  }

  /** The lane has leases. With its first or with new ones, what it was to take over is offered again, and refused if it is done. */
  laneRegistered({ leases }: Child): void {
    const ids = [...leases.values()].map(({ worker }) => worker.workerId).join();
    if (ids === this.#laneIds) return;
    this.#laneIds = ids;
    this.#waiting.unshift(...this.#handed);
    this.laneEmpty();
  }

  /** The lane has settled everything it had. It stays for a while: a second crash often follows the first. */
  laneEmpty(): void {
    this.#handed = [];
    this.#running = [];
    this.#busy = false;
    this.#idleTimer?.cancel();
    if (this.#waiting.length > 0) this.#hand();
    else this.#idleTimer = this.#o.clock.schedule(LANE_IDLE_MS, () => this.#retireLane(), { unref: true });
  }

  laneRuns(held: readonly Held[]): void {
    this.#running = held;
  }

  /**
   * The lane died: one that ran alone is guilty; of several, each is suspected once more; and when `pointsAtMessages` is
   * false, all go back as they were.
   */
  async laneEnded(child: Child, leavers: readonly Leaver[], end: ChildEnd, pointsAtMessages: boolean): Promise<void> {
    const running = this.#running;
    // What ran goes back to its queue; what it had not come to still belongs to those who found it.
    if (!this.#closed) this.#waiting.unshift(...this.#handed.filter((held) => !running.some((one) => one.receipt.id === held.receipt.id)));
    this.#handed = [];
    this.#lane = undefined;
    this.#running = [];
    this.#busy = false;
    const [guilty] = running;
    const blamed = !child.leaving && pointsAtMessages;
    if (blamed && guilty !== undefined && running.length === 1) await this.#charge(guilty, end);
    await handBack(leavers, blamed, this.#o);
    if (this.#waiting.length > 0 && this.#lane === undefined) {
      // A lane that cannot even start must not be tried in a hot loop.
      this.#exits = [
        ...this.#exits,
        { at: this.#o.clock.monotonic(), livedMs: end.livedMs, planned: child.leaving, productive: running.length > 0 },
      ].slice(-8);
      this.#o.clock.schedule(restartDelayMs(this.#exits), () => this.#waiting.length > 0 && this.#feed(), { unref: true });
    }
  }

  /** No new lane any more; what waits for one is left to the reaper or to the next fleet. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#handed = [];
    this.#idleTimer?.cancel();
  }

  #feed(): void {
    if (this.#closed) return;
    if (this.#lane === undefined) this.#lane = this.#o.forkLane();
    else if (this.#lane.registered && !this.#busy && !this.#lane.leaving) this.#hand();
  }

  #hand(): void {
    const suspects = this.#waiting.splice(0, LANE_BATCH);
    if (suspects.length === 0) return;
    this.#busy = true;
    this.#handed = suspects;
    this.#idleTimer?.cancel();
    this.#lane?.send({ kind: "adopt", suspects });
  }

  #retireLane(): void {
    const lane = this.#lane;
    if (lane === undefined || lane.leaving) return;
    lane.leaving = true;
    lane.send({ kind: "stop", reason: "manual", deadlineMs: 0 });
  }

  /** Takes the guilty message over, so that nobody else gets it meanwhile, and writes its crash down. */
  async #charge(guilty: Held, end: ChildEnd): Promise<void> {
    const transport = this.#o.transports[guilty.transport];
    if (transport === undefined || !isSupervisable(transport)) return;
    const error = crashError(end);
    try {
      const [received] = await transport.adopt([guilty.receipt], this.#o.supervisorId);
      if (received === undefined) return;
      const { clock, random, supervisorId } = this.#o;
      const input = toDecisionInput(received, { strategyFor: () => CRASH_STRATEGY, workerId: supervisorId, now: clock.now(), random });
      const decision = decide({ kind: "crashed", error, guilty: true }, input);
      await transport.reject([toRejection(received.receipt, decision)]);
      this.charged += 1;
      this.#o.metrics.crashed(received.queue, decision);
      this.#o.logger.warn(
        { message_id: received.receipt.id, queue: received.queue, decision: decision.kind, error },
        "message killed its process",
      );
    } catch (cause) {
      this.#o.logger.warn(
        { err: toErrorRecord(cause), message_id: guilty.receipt.id },
        "a crash could not be recorded; the message comes back as a suspect",
      );
    }
  }
}

function toRejection(receipt: Receipt, decision: Decision): Parameters<Transport["reject"]>[0][number] {
  if (decision.kind === "deadLetter") return { receipt, deadLetter: decision.failure, patch: decision.patch };
  if (decision.kind === "retry") return { receipt, retryInMs: decision.delayMs, patch: decision.patch };
  return { receipt, release: true };
}

/** What is known of a process's death, as the error that is stored with the message. */
function crashError(end: ChildEnd): ErrorRecord {
  const how = end.signal === null ? `exit code ${end.code ?? "unknown"}` : `signal ${end.signal}`;
  const mb = Math.round(end.rssBytes / 1_048_576);
  const hint = end.signal === "SIGKILL" ? "; SIGKILL is also what the kernel sends when memory runs out" : "";
  return toErrorRecord(
    new MessengerError("HANDLER_CRASHED", `the process died with ${how} at ${mb} MB resident${hint}`, { details: { ...end } }),
  );
}
