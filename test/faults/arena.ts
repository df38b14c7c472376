import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createMessenger,
  type DispatchOptions,
  type DispatchReceipt,
  type MessageType,
  type Messenger,
  type MessengerError,
} from "@symphony/core";
import { waitFor } from "@symphony/core/testing";
import { ALL, Unknown } from "../fixtures/messages.ts";
import { installAudit, readSettlements } from "../support/audit-trigger.ts";
import { check, type Verdict } from "../support/checker.ts";
import { createDatabase, type Database } from "../support/database.ts";
import { type Fault, type Journal, type JournalEntry, JournalReader, now, openJournal, type RunEntry } from "../support/journal.ts";
import { allMessages, UNFINISHED } from "../support/messages.ts";
import { PASSWORD, type PrivateServer } from "../support/private-server.ts";
import { Processes } from "../support/processes.ts";
import { type Random, seeded } from "../support/random.ts";
import { CONFIG, Fleet, type FleetOptions } from "./fleet.ts";

export interface ArenaOptions {
  readonly seed: number;
  readonly n: number;
  readonly gate: boolean;
  readonly server: PrivateServer;
}

export interface Sent {
  readonly value: string;
  /** Absent when it was refused, or when nobody knows. */
  readonly id: string | undefined;
  /** Why it was refused, or why nobody knows. */
  readonly error?: MessengerError;
}

export interface DeadLettered {
  readonly id: string;
  readonly value: string;
  readonly reason: string;
  /** The stored record, and what was written beside it when it was given up. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly output: Readonly<Record<string, unknown>> | null;
}

/** Errors after which it is certain that nothing was sent. */
const REFUSALS = new Set(["PAYLOAD_INVALID", "PAYLOAD_NOT_JSON", "PAYLOAD_TOO_LARGE", "PAYLOAD_TOO_DEEP", "DISPATCH_OPTIONS_INVALID"]);

const SERIALIZATION_FAILURE = "40001";

/** Where one row takes place: its own database, journal and processes, a way to send, and the judgement at the end. */
export class Arena {
  readonly seed: number;
  readonly n: number;
  readonly gate: boolean;
  readonly random: Random;
  readonly server: PrivateServer;
  readonly database: Database;
  readonly journal: Journal;
  readonly processes = new Processes();
  readonly directory: string;
  readonly violations: string[] = [];
  /** Those of them that a busy machine explains. */
  readonly late: string[] = [];
  readonly fleets: Fleet[] = [];
  readonly #reader: JournalReader;
  messenger: Messenger;
  #counter = 0;

  private constructor(o: ArenaOptions, database: Database, messenger: Messenger) {
    this.seed = o.seed;
    this.n = o.n;
    this.gate = o.gate;
    this.random = seeded(o.seed);
    this.server = o.server;
    this.database = database;
    this.messenger = messenger;
    this.directory = mkdtempSync(join(tmpdir(), "symphony-faults-"));
    this.journal = openJournal(join(this.directory, "journal"));
    this.#reader = new JournalReader(this.journal.path);
  }

  static async open(o: ArenaOptions): Promise<Arena> {
    const database = await createDatabase(o.server);
    const messenger = await connect(database.connectionString);
    await messenger.setUp();
    await database.query("CREATE TABLE effect (value text NOT NULL, pid int NOT NULL)");
    await installAudit(database);
    return new Arena(o, database, messenger);
  }

  /** The configuration that the fleets run. */
  get fixture(): string {
    return CONFIG;
  }

  /** Another sender, such as one behind a proxy. Close it. */
  connect(dsn: string, options: Readonly<Record<string, unknown>> = {}): Promise<Messenger> {
    return connect(dsn, options);
  }

  async fleet(options: FleetOptions = {}): Promise<Fleet> {
    const fleet = await Fleet.start(this.processes, this.database, this.journal.path, options);
    this.fleets.push(fleet);
    return fleet;
  }

  /** Sends one message, and writes down what became of that. Never rejects. */
  async send<Input extends { value: string }>(
    type: MessageType<Input, unknown>,
    payload: Omit<Input, "value">,
    options: DispatchOptions & { readonly via?: Messenger; readonly writer?: string } = {},
  ): Promise<Sent> {
    const { via = this.messenger, writer = "w", ...rest } = options;
    const value = `${writer}-${this.#counter++}`;
    this.journal.write({ kind: "invoke", value, at: now() });
    try {
      const receipt: DispatchReceipt = await via.dispatch(type, { ...payload, value } as Input, rest);
      this.journal.write({ kind: "ok", value, id: receipt.messageId, at: now() });
      return { value, id: receipt.messageId };
    } catch (error) {
      const { code = "", message } = error as { code?: string; message: string };
      this.journal.write({ kind: REFUSALS.has(code) ? "refused" : "unknown", value, error: `${code} ${message}`, at: now() });
      return { value, id: undefined, error: error as MessengerError };
    }
  }

  sendMany<Input extends { value: string }>(
    count: number,
    type: MessageType<Input, unknown>,
    payload: () => Omit<Input, "value">,
  ): Promise<Sent[]> {
    return Promise.all(Array.from({ length: count }, () => this.send(type, payload())));
  }

  fault(fault: Omit<Fault, "until"> & { readonly until?: number | null }): void {
    this.journal.write({ kind: "fault", fault: { until: fault.from, ...fault } });
  }

  /** Says what does not hold; the row goes on. */
  require(holds: boolean, what: string): void {
    if (!holds) this.violations.push(what);
  }

  /** Says what took longer than its limit, in milliseconds; what took no time at all, or for ever, did not happen, which no busy machine explains. */
  requireInTime(ms: number, limitMs: number, what: string): void {
    const holds = ms <= limitMs;
    this.require(holds, what);
    if (!holds && Number.isFinite(ms)) this.late.push(what);
  }

  entries(): readonly JournalEntry[] {
    return this.#reader.read();
  }

  /** The runs of one message's handler that have begun, or ended in the given way. */
  runsOf(value: string, kind: RunEntry["kind"] = "start"): RunEntry[] {
    return this.entries().filter((entry): entry is RunEntry => entry.kind === kind && entry.value === value);
  }

  /** The stored record of a message, as PostgreSQL writes it; undefined when it is gone. */
  async record(id: string): Promise<string | undefined> {
    const [row] = await this.database.query<{ data: string }>(`SELECT data::text FROM ${allMessages()} WHERE id = $1`, [id]);
    return row?.data;
  }

  /** Messages that nobody has finished with. */
  async unfinished(): Promise<number> {
    try {
      const rows = await this.database.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${allMessages()} WHERE ${UNFINISHED}`);
      return rows[0]?.n ?? 0;
    } catch (error) {
      // On a serializable server a look may be rolled back like everything else: once more.
      if ((error as { code?: unknown }).code === SERIALIZATION_FAILURE) return this.unfinished();
      throw error;
    }
  }

  async drain(timeoutMs = 60_000): Promise<void> {
    try {
      await waitFor(async () => (await this.unfinished()) === 0, { timeoutMs, intervalMs: 100, what: "the queues to be empty" });
    } catch (error) {
      // Who holds what is left, and whether that worker is still known: tells stuck from slow.
      const left = await this.database.query(`
        SELECT name, state, count(*)::int AS messages, w.pid, w.in_flight, w.last_beat_at FROM ${allMessages()}
        LEFT JOIN symphony.messenger_worker w ON w.worker_id = message.worker
        WHERE ${UNFINISHED} GROUP BY 1, 2, 4, 5, 6`);
      throw new Error(`${(error as Error).message}; left: ${JSON.stringify(left)}`, { cause: error });
    }
  }

  /** Those that a process of this name holds. */
  async heldBy(workerIds: readonly string[]): Promise<number> {
    const rows = await this.database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM ${allMessages()} WHERE state = 'active' AND worker = ANY($1)`,
      [workerIds],
    );
    return rows[0]?.n ?? 0;
  }

  async deadLetters(): Promise<DeadLettered[]> {
    const rows = await this.database.query<{ id: string; data: Record<string, unknown>; output: Record<string, unknown> | null }>(
      "SELECT coalesce(source_id, id)::text AS id, data, source_output AS output FROM symphony.job WHERE name = 'failed'",
    );
    // A record that a row has damaged does not tell its value; the journal knows it by its id.
    const sent = new Map(this.entries().flatMap((entry) => (entry.kind === "ok" ? [[entry.id, entry.value] as const] : [])));
    return rows.map(({ id, data, output }) => ({
      id,
      value: valueIn(data) || (sent.get(id) ?? ""),
      reason: String(output?.reason ?? ""),
      data,
      output,
    }));
  }

  /** Judges the run by the common promises of all rows; what is wrong joins the row's violations. */
  async judge(): Promise<Verdict> {
    const dead = await this.deadLetters();
    const verdict = check({
      entries: this.entries(),
      settlements: await readSettlements(this.database),
      deadLettered: dead.map(({ value }) => value),
    });
    this.violations.push(...verdict.violations);
    const indiscreet = this.processes.logs().filter(({ text }) => text.includes(PASSWORD)).length;
    this.require(indiscreet === 0, `the password of the database is in the log of ${indiscreet} processes`);
    return verdict;
  }

  async close({ keep }: { readonly keep: boolean }): Promise<void> {
    await this.processes.end();
    await this.messenger.close();
    this.journal.close();
    await this.database.close({ keep: false });
    if (!keep) return rmSync(this.directory, { recursive: true, force: true });
    for (const { pid, text } of this.processes.logs()) writeFileSync(join(this.directory, `process-${pid}.log`), text);
  }
}

/** Counts that every row shows. */
export const summary = (verdict: Verdict): Record<string, number> => ({
  messages: verdict.accepted,
  lost: verdict.lost.total,
  unknown: verdict.unknown,
  duplicates: verdict.duplicates.length,
  unexplained: verdict.unexplained.length,
  double_settled: verdict.doubleSettled.length,
  dead_lettered: verdict.deadLettered,
});

function connect(dsn: string, options: Readonly<Record<string, unknown>> = {}): Promise<Messenger> {
  return createMessenger({ transports: { default: { dsn, options } }, messages: [...ALL, Unknown] });
}

function valueIn(data: unknown): string {
  const payload = (data as { payload?: unknown } | null)?.payload;
  return String((payload as { value?: unknown } | null | undefined)?.value ?? "");
}
