import type { Clock } from "../../clock.ts";
import {
  type HeldSchedules,
  MOST_ERROR_CHARS,
  OVERDUE_MS,
  type ScheduleAdvance,
  type ScheduleEntry,
  type ScheduleState,
  type ScheduleStore,
} from "../../schedules/store.ts";

/** Schedules of a memory store; those who share its messages share them. */
export class MemorySchedules implements ScheduleStore {
  readonly #clock: Clock;
  readonly #states = new Map<string, ScheduleState>();
  /** Schedules whose message is being sent. */
  readonly #busy = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async hold(holder: string, names: readonly string[], leaseMs: number): Promise<HeldSchedules> {
    const now = this.#clock.now();
    const known = names.flatMap((name) => this.#states.get(name) ?? []);
    const held = known
      .filter((state) => state.holder === holder || isFree(state, now))
      .map((state) => ({ ...state, holder, heldUntil: now + leaseMs }));
    for (const state of held) this.#states.set(state.name, state);
    return { now, held, unknown: names.filter((name) => !this.#states.has(name)) };
  }

  async put(entry: ScheduleEntry, revision: number | null): Promise<boolean> {
    if (this.#busy.has(entry.name)) return false;
    const before = this.#states.get(entry.name);
    if ((before?.revision ?? null) !== revision) return false;
    this.#states.set(entry.name, { ...(before ?? NEW), ...entry, revision: (revision ?? 0) + 1, lastError: null });
    return true;
  }

  async advance(advance: ScheduleAdvance, work?: (client: unknown) => Promise<string>): Promise<boolean> {
    const { name, revision, dueAt, runAt, ranDueAt, missed = 0, error } = advance;
    if (this.#busy.has(name) || this.#states.get(name)?.revision !== revision) return false;
    this.#busy.add(name);
    try {
      const messageId = await work?.(undefined);
      // Only a pause or a removal can have come in between; what was sent cannot be taken back here.
      const state = this.#states.get(name);
      if (state === undefined) return messageId !== undefined;
      const ran = ranDueAt === undefined ? {} : { lastRunAt: this.#clock.now(), lastMessageId: messageId ?? null, runs: state.runs + 1 };
      this.#states.set(name, {
        ...state,
        ...ran,
        ...(ranDueAt == null ? {} : { lastDueAt: ranDueAt }),
        dueAt,
        runAt,
        missed: state.missed + missed,
        lastError: error?.slice(0, MOST_ERROR_CHARS) ?? null,
        revision: state.revision + 1,
      });
      return true;
    } finally {
      this.#busy.delete(name);
    }
  }

  async setPaused(name: string, paused: boolean): Promise<boolean> {
    const state = this.#states.get(name);
    if (state === undefined) return false;
    const now = this.#clock.now();
    const change = paused
      ? { pausedAt: state.pausedAt ?? now }
      : { pausedAt: null, notBefore: state.pausedAt === null ? state.notBefore : now };
    this.#states.set(name, { ...state, ...change, revision: state.revision + 1 });
    return true;
  }

  async list(): Promise<{ now: number; schedules: readonly ScheduleState[] }> {
    return { now: this.#clock.now(), schedules: [...this.#states.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  async remove(name: string): Promise<boolean> {
    return this.#states.delete(name);
  }

  async release(holder: string): Promise<void> {
    for (const state of this.#states.values()) {
      if (state.holder === holder) this.#states.set(state.name, { ...state, holder: null, heldUntil: null });
    }
  }

  clear(): void {
    this.#states.clear();
  }
}

function isFree({ heldUntil, runAt, pausedAt }: ScheduleState, now: number): boolean {
  return heldUntil === null || heldUntil < now || (pausedAt === null && runAt !== null && runAt < now - OVERDUE_MS);
}

const NEW = {
  notBefore: null,
  pausedAt: null,
  lastDueAt: null,
  lastRunAt: null,
  lastMessageId: null,
  runs: 0,
  missed: 0,
  holder: null,
  heldUntil: null,
} as const;
