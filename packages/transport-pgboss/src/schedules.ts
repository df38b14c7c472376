import {
  type HeldSchedules,
  MOST_ERROR_CHARS,
  OVERDUE_MS,
  type ScheduleAdvance,
  type ScheduleEntry,
  type ScheduleState,
  type ScheduleStore,
} from "@symphony/core";
import type { Database, Row } from "./connection.ts";
import {
  advanceSchedule,
  holdSchedules,
  listSchedules,
  lockSchedule,
  pauseSchedule,
  putSchedule,
  releaseSchedules,
  removeSchedule,
} from "./schedule-statements.ts";

/** Schedules as rows of a table of ours; a run is one transaction with its message. */
export class Schedules implements ScheduleStore {
  readonly #database: Database;
  readonly #statements: Readonly<
    Record<"hold" | "put" | "lock" | "advance" | "pause" | "list" | "remove" | "release", ReturnType<typeof holdSchedules>>
  >;

  constructor(database: Database, schema: string) {
    this.#database = database;
    this.#statements = {
      hold: holdSchedules(schema),
      put: putSchedule(schema),
      lock: lockSchedule(schema),
      advance: advanceSchedule(schema),
      pause: pauseSchedule(schema),
      list: listSchedules(schema),
      remove: removeSchedule(schema),
      release: releaseSchedules(schema),
    };
  }

  async hold(holder: string, names: readonly string[], leaseMs: number): Promise<HeldSchedules> {
    const rows = await this.#database.run(this.#statements.hold, [holder, names, leaseMs, OVERDUE_MS], "holding schedules");
    return { now: nowIn(rows), held: statesIn(rows, "held"), unknown: valuesOf(rows, "unknown") };
  }

  async put(entry: ScheduleEntry, revision: number | null): Promise<boolean> {
    const { name, definition, text, type, missedAfterMs, dueAt, runAt } = entry;
    const values = [name, definition, text, type, missedAfterMs, dueAt, runAt, revision];
    return (await this.#database.run(this.#statements.put, values, "storing a schedule")).length > 0;
  }

  async advance(advance: ScheduleAdvance, work?: (client: unknown) => Promise<string>): Promise<boolean> {
    const values = (messageId: string | null): unknown[] => {
      const { name, revision, dueAt, runAt, ranDueAt, missed = 0, error } = advance;
      const message = error?.slice(0, MOST_ERROR_CHARS) ?? null;
      return [name, revision, dueAt, runAt, ranDueAt !== undefined, ranDueAt ?? null, messageId, missed, message];
    };
    const doing = "advancing a schedule";
    if (work === undefined) return (await this.#database.run(this.#statements.advance, values(null), doing)).length > 0;
    // What the work throws is told as it is, and not as a failure of the database.
    let thrown: { readonly error: unknown } | undefined;
    try {
      return await this.#database.inTransaction(doing, async (client) => {
        thrown = undefined;
        const { name, revision } = advance;
        if ((await this.#database.run(this.#statements.lock, [name, revision], doing, client)).length === 0) return false;
        const messageId = await work(client).catch((error: unknown) => {
          thrown = { error };
          throw error;
        });
        return (await this.#database.run(this.#statements.advance, values(messageId), doing, client)).length > 0;
      });
    } catch (error) {
      throw thrown === undefined ? error : thrown.error;
    }
  }

  async setPaused(name: string, paused: boolean): Promise<boolean> {
    return (await this.#database.run(this.#statements.pause, [name, paused], "pausing a schedule")).length > 0;
  }

  async list(): Promise<{ now: number; schedules: readonly ScheduleState[] }> {
    const rows = await this.#database.run(this.#statements.list, [], "listing schedules");
    return { now: nowIn(rows), schedules: statesIn(rows, "schedule") };
  }

  async remove(name: string): Promise<boolean> {
    return (await this.#database.run(this.#statements.remove, [name], "removing a schedule")).length > 0;
  }

  async release(holder: string): Promise<void> {
    await this.#database.run(this.#statements.release, [holder], "releasing schedules");
  }
}

const valuesOf = (rows: readonly Row[], kind: string): string[] => rows.filter((row) => row[0] === kind).map((row) => String(row[1]));
const nowIn = (rows: readonly Row[]): number => Math.round(Number(valuesOf(rows, "now")[0]));
const statesIn = (rows: readonly Row[], kind: string): ScheduleState[] =>
  valuesOf(rows, kind).map((text) => toState(JSON.parse(text) as ScheduleRow));

/** As `row_to_json` writes it. */
interface ScheduleRow {
  readonly name: string;
  readonly definition: string;
  readonly text: string;
  readonly type: string;
  readonly missed_after_ms: number;
  readonly revision: number;
  readonly due_at: string | null;
  readonly run_at: string | null;
  readonly not_before: string | null;
  readonly paused_at: string | null;
  readonly last_due_at: string | null;
  readonly last_run_at: string | null;
  readonly last_message_id: string | null;
  readonly runs: number;
  readonly missed: number;
  readonly last_error: string | null;
  readonly holder: string | null;
  readonly held_until: string | null;
}

const toMs = (time: string | null): number | null => (time === null ? null : Date.parse(time));

function toState(row: ScheduleRow): ScheduleState {
  return {
    name: row.name,
    definition: row.definition,
    text: row.text,
    type: row.type,
    missedAfterMs: row.missed_after_ms,
    revision: row.revision,
    dueAt: toMs(row.due_at),
    runAt: toMs(row.run_at),
    notBefore: toMs(row.not_before),
    pausedAt: toMs(row.paused_at),
    lastDueAt: toMs(row.last_due_at),
    lastRunAt: toMs(row.last_run_at),
    lastMessageId: row.last_message_id,
    runs: row.runs,
    missed: row.missed,
    lastError: row.last_error,
    holder: row.holder,
    heldUntil: toMs(row.held_until),
  };
}
