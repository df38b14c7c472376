import type { Timer } from "../clock.ts";
import { toErrorRecord } from "../error-record.ts";
import { TransportError } from "../errors.ts";
import type { Messenger } from "../messenger.ts";
import { dispatchRun, makePayload } from "./dispatch-run.ts";
import { type DuePlan, planRun } from "./due.ts";
import { entryOf, isCurrent } from "./entry.ts";
import type { Placement } from "./placement.ts";
import type { ScheduleReport } from "./report.ts";
import { runTimeOf, type Schedule, type ScheduleRun } from "./schedule.ts";
import type { ScheduleAdvance, ScheduleState } from "./store.ts";

/** Milliseconds between two looks at the store: how soon a pause takes effect, and an overdue run finds somebody. */
const LOOK_EVERY_MS = 3_000;
/** Short enough that a schedule with a new definition soon finds somebody who has it. */
const LEASE_MS = 15_000;
/** Milliseconds after a run that failed, and after one that was overtaken. */
const AGAIN_MS = 3_000;
const LOOK_AGAIN_MS = 50;
/** Milliseconds for what is being stored when this process stops. */
const STOP_MS = 1_000;

/** One schedule in this process. */
interface Line {
  readonly schedule: Schedule;
  /** As it is in the store, while this process has its lease; undefined: somebody else sees to it, or nobody knows. */
  state: ScheduleState | undefined;
  running: Promise<void> | undefined;
  /** Its step in the store, while that is under way. */
  committing: Promise<boolean> | undefined;
  /** Monotonic; no run before it. */
  notBefore: number;
}

/** Sees to the schedules of one transport: one look at the store every few seconds, and one transaction for each run. */
export class ScheduleKeeper {
  readonly #messenger: Messenger;
  readonly #placement: Placement;
  readonly #report: ScheduleReport;
  readonly #holder: string;
  readonly #lines: ReadonlyMap<string, Line>;
  #timer: Timer | undefined;
  #turning = false;
  #stopped = false;
  #lookAt = 0;
  /** Of the store's clock before our monotonic one. Taken when the answer is here, so that we are never early. */
  #aheadMs = 0;
  #lastError: string | null = null;
  #count = 0;

  constructor(messenger: Messenger, placement: Placement, report: ScheduleReport) {
    this.#messenger = messenger;
    this.#placement = placement;
    this.#report = report;
    this.#holder = messenger.runtime.newId();
    const lineOf = (schedule: Schedule): Line => ({ schedule, state: undefined, running: undefined, committing: undefined, notBefore: 0 });
    this.#lines = new Map(placement.schedules.map((schedule) => [schedule.name, lineOf(schedule)]));
  }

  start(): void {
    this.#lookAt = this.#mono();
    void this.#turn();
  }

  /** Ends what is under way, at the latest with its transaction, and gives up the leases. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    // A payload that is still being made is waited for by nobody: nothing begins with it any more.
    const committing = [...this.#lines.values()].map((line) => line.committing?.catch(() => false));
    const late = Promise.withResolvers<void>();
    const timer = this.#messenger.runtime.clock.schedule(STOP_MS, late.resolve, { unref: true });
    await Promise.race([Promise.all(committing), late.promise]);
    timer.cancel();
    await this.#placement.store.release(this.#holder).catch((error: unknown) => {
      this.#messenger.logger.debug({ err: toErrorRecord(error) }, "schedules could not be released; their leases run out by themselves");
    });
  }

  /** One look, and everything that is due; for a program that does not stay. Resolves with the number of messages. */
  async runDue(): Promise<number> {
    await this.#look();
    this.#startDue();
    await Promise.all([...this.#lines.values()].map((line) => line.running));
    return this.#count;
  }

  /** One step of the loop; at most one at a time. */
  async #turn(): Promise<void> {
    if (this.#turning || this.#stopped) return;
    this.#turning = true;
    try {
      if (this.#mono() >= this.#lookAt) {
        this.#lookAt = this.#mono() + LOOK_EVERY_MS;
        await this.#look();
        this.#lastError = null;
      }
    } catch (error) {
      this.#unreachable(error);
    } finally {
      this.#turning = false;
    }
    if (this.#stopped) return;
    this.#startDue();
    this.#arm();
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    const waits = [...this.#lines.values()].flatMap((line) => this.#waitOf(line));
    this.#timer = this.#messenger.runtime.clock.schedule(
      Math.max(0, Math.min(this.#lookAt - this.#mono(), ...waits)),
      () => void this.#turn(),
    );
  }

  #waitOf({ state, running, notBefore }: Line): readonly number[] {
    if (running !== undefined || state === undefined || state.runAt === null || state.pausedAt !== null) return [];
    return [Math.max(state.runAt - this.#now(), notBefore - this.#mono())];
  }

  /** Takes the leases that are free, and stores what is new. A second look follows what was stored. */
  async #look(): Promise<void> {
    for (let again = true, looks = 0; again && looks < 3; looks++) {
      const { now, held, unknown } = await this.#placement.store.hold(this.#holder, [...this.#lines.keys()], LEASE_MS);
      this.#aheadMs = now - this.#mono();
      again = unknown.length > 0;
      for (const name of unknown) await this.#placement.store.put(entryOf((this.#lines.get(name) as Line).schedule, now), null);
      const states = new Map(held.map((state) => [state.name, state]));
      for (const [name, line] of this.#lines) {
        // A run that is under way has a newer state than any answer.
        if (line.running !== undefined) continue;
        const state = states.get(name);
        line.state = state;
        if (state === undefined || isCurrent(state, line.schedule)) continue;
        line.state = undefined;
        again = true;
        await this.#placement.store.put(entryOf(line.schedule, now, state), state.revision);
      }
    }
  }

  #startDue(): void {
    for (const line of this.#lines.values()) {
      const { state, running, notBefore } = line;
      if (running !== undefined || state === undefined || state.pausedAt !== null || state.runAt === null) continue;
      if (state.runAt > this.#now() || notBefore > this.#mono()) continue;
      line.running = this.#runLine(line).finally(() => {
        line.running = undefined;
        if (!this.#turning) this.#arm();
      });
    }
  }

  /** Everything that is due of one schedule, one due time after the other. Never rejects. */
  async #runLine(line: Line): Promise<void> {
    while (!this.#stopped && line.state !== undefined) {
      const { state } = line;
      const plan = planRun(line.schedule, state, this.#now());
      if (plan.run === null && plan.nextDueAt === state.dueAt) return;
      const run: ScheduleRun = { schedule: state.name, dueAt: new Date(plan.run ?? state.dueAt ?? 0), isManual: false };
      try {
        if (await this.#step(line, state, plan, run)) continue;
        // Paused, replaced or dispatched by another process: what is stored decides.
        this.#lookAgain(line);
        return;
      } catch (error) {
        await this.#failed(line, state, run, error);
        return;
      }
    }
  }

  /** False: the schedule has changed meanwhile, and nothing was done. */
  async #step(line: Line, state: ScheduleState, plan: DuePlan, run: ScheduleRun): Promise<boolean> {
    const { schedule } = line;
    const { transport } = this.#placement;
    const runAt = plan.nextDueAt === null ? null : runTimeOf(schedule, plan.nextDueAt);
    const missed = plan.missed + (plan.isLate ? 1 : 0);
    const advance: ScheduleAdvance = { name: state.name, revision: state.revision, dueAt: plan.nextDueAt, runAt, missed };
    const isWanted = plan.run !== null && (schedule.beforeRun === undefined || (await schedule.beforeRun(run)));
    let messageId: string | undefined;
    if (isWanted) {
      const payload = await makePayload(this.#messenger, schedule, run);
      const dispatch = async (client: unknown): Promise<string> => {
        messageId = await dispatchRun(this.#messenger, { schedule, transport, run, payload, client });
        return messageId;
      };
      if (!(await this.#commit(line, { ...advance, ranDueAt: run.dueAt.getTime() }, dispatch))) return false;
      this.#count += 1;
    } else if (!(await this.#commit(line, advance))) return false;
    line.state = { ...state, dueAt: plan.nextDueAt, runAt, revision: state.revision + 1, lastError: null };
    if (missed > 0) this.#report.missed(schedule, { firstDueAt: new Date(state.dueAt ?? 0), count: missed, isDispatched: plan.isLate });
    if (messageId !== undefined) this.#report.dispatched(schedule, run, messageId, this.#now() - runTimeOf(schedule, run.dueAt.getTime()));
    else if (plan.run !== null) this.#report.leftOut(run);
    return true;
  }

  async #commit(line: Line, advance: ScheduleAdvance, dispatch?: (client: unknown) => Promise<string>): Promise<boolean> {
    if (this.#stopped) return false;
    line.committing = this.#placement.store.advance(advance, dispatch);
    try {
      return await line.committing;
    } finally {
      line.committing = undefined;
    }
  }

  async #failed(line: Line, state: ScheduleState, run: ScheduleRun, error: unknown): Promise<void> {
    line.notBefore = this.#mono() + AGAIN_MS;
    this.#lookAgain(line, AGAIN_MS);
    if (error instanceof TransportError && error.code === "TRANSPORT_UNAVAILABLE") {
      this.#unreachable(error);
      return;
    }
    this.#report.failed(line.schedule, run, error);
    const { message } = toErrorRecord(error);
    if (state.lastError === message) return;
    const { name, revision, dueAt, runAt } = state;
    await this.#placement.store
      .advance({ name, revision, dueAt, runAt, error: message })
      .catch((failure: unknown) => this.#unreachable(failure));
  }

  #lookAgain(line: Line, waitMs = LOOK_AGAIN_MS): void {
    line.state = undefined;
    this.#lookAt = Math.min(this.#lookAt, this.#mono() + waitMs);
  }

  /** Said once, not every few seconds. */
  #unreachable(error: unknown): void {
    const record = toErrorRecord(error);
    if (this.#lastError !== record.message)
      this.#messenger.logger.warn({ err: record, transport: this.#placement.transport }, "the schedules could not be looked at");
    this.#lastError = record.message;
  }

  #now(): number {
    return this.#mono() + this.#aheadMs;
  }

  #mono(): number {
    return this.#messenger.runtime.clock.monotonic();
  }
}
