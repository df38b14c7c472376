import {
  type Actor,
  type AuditEntry,
  type AuditedResult,
  type AuditPage,
  type AuditRecord,
  MessengerError,
  OptionsError,
  type Runtime,
  TRASH_DAYS,
} from "@symphony/core";
import type { Database, Row } from "./connection.ts";
import { forgetAudit } from "./forget-audit.ts";
import type { Notifier } from "./notifier.ts";
import { UUID_PATTERN } from "./row-codec.ts";
import { AUDIT_TABLE, TRASH_TABLE } from "./statements.ts";
import { bringBack } from "./trash.ts";

/** Rows that one tidying statement forgets: short transactions. */
const TIDIED = 5_000;
const DONE = "done";
const TIDYING = "tidying the audit";

export interface AuditLogInput {
  readonly database: Database;
  readonly notifier: Notifier;
  readonly runtime: Runtime;
  readonly schema: string;
}

interface Outcome {
  readonly id: string;
  readonly count: number;
  readonly outcome: string;
  readonly target: string | undefined;
}

/** Who did what. A record commits with what it tells of, and what was removed can be brought back by it. */
export class AuditLog {
  readonly #input: AuditLogInput;
  readonly #audit: string;
  readonly #trash: string;

  constructor(input: AuditLogInput) {
    this.#input = input;
    this.#audit = `${input.schema}.${AUDIT_TABLE}`;
    this.#trash = `${input.schema}.${TRASH_TABLE}`;
  }

  async audited<T>(entry: AuditEntry, work: () => Promise<AuditedResult<T>>): Promise<{ value: T; auditId: string }> {
    const { database, runtime } = this.#input;
    const id = runtime.newId();
    return database.inAction(`carrying out "${entry.action}"`, id, async () => {
      const { value, count, target = entry.target } = await work();
      await this.#write(entry, { id, count, outcome: DONE, target });
      return { value, auditId: id };
    });
  }

  async recordRefusal(entry: AuditEntry, outcome: string): Promise<void> {
    await this.#write(entry, { id: this.#input.runtime.newId(), count: 0, outcome, target: entry.target });
  }

  async list(page: { limit: number; cursor?: string; id?: string }): Promise<AuditPage> {
    const { cursor, id } = page;
    if (id !== undefined && !UUID_PATTERN.test(id)) return { records: [], nextCursor: null };
    if (cursor !== undefined && !UUID_PATTERN.test(cursor)) throw new OptionsError("cursor", cursor, "must be the nextCursor of a page");
    const rows = await this.#run(
      `SELECT ${this.#columns()} FROM ${this.#audit} a WHERE ($1::uuid IS NULL OR a.id < $1::uuid) AND ($2::uuid IS NULL OR a.id = $2::uuid) ORDER BY a.id DESC LIMIT ${page.limit + 1}`,
      [cursor ?? null, id ?? null],
      "listing the audit",
    );
    const records = rows.slice(0, page.limit).map(toRecord);
    return { records, nextCursor: rows.length > page.limit ? (records.at(-1)?.id ?? null) : null };
  }

  async undo(id: string, entry: AuditEntry): Promise<{ restored: number; conflicts: number; auditId: string }> {
    const [found] = UUID_PATTERN.test(id)
      ? await this.#run(`SELECT 1 FROM ${this.#audit} WHERE id = $1::uuid`, [id], "looking for an action")
      : [];
    if (found === undefined) throw new MessengerError("AUDIT_NOT_FOUND", `no action is recorded as ${id}`, { details: { id } });
    const { value, auditId } = await this.audited(entry, async () => {
      const { database, schema, notifier } = this.#input;
      const done = await bringBack(database, schema, this.#trash, id);
      if (done.restored + done.conflicts === 0)
        throw new MessengerError("UNDO_IMPOSSIBLE", `nothing that the action ${id} removed is in the trash`, { details: { id } });
      notifier.notify(done.queues);
      return { value: done, count: done.restored };
    });
    return { restored: value.restored, conflicts: value.conflicts, auditId };
  }

  async tidy(): Promise<number> {
    const trash = await this.#run(
      // The oldest come first in the key: the statement reads no more than it deletes.
      `WITH old AS (SELECT t.ctid, t.at FROM ${this.#trash} t ORDER BY t.audit_id LIMIT ${TIDIED})
       DELETE FROM ${this.#trash} t USING old WHERE t.ctid = old.ctid AND old.at < now() - interval '${TRASH_DAYS} days' RETURNING 1`,
      [],
      TIDYING,
    );
    const { lookUp, byFunction, directly } = forgetAudit(this.#input.schema);
    const [found] = await this.#run(lookUp, [], TIDYING);
    const [forgotten] = await this.#run(found?.[0] === true ? byFunction : directly, [], TIDYING);
    return trash.length + (forgotten?.[0] as number);
  }

  async #write({ actor, action, parameters, requestId }: AuditEntry, { id, count, outcome, target }: Outcome): Promise<void> {
    const values = [id, JSON.stringify(actor), action, target ?? null, JSON.stringify(parameters ?? {}), requestId ?? null, count, outcome];
    const insert = `INSERT INTO ${this.#audit} (id, actor, action, target, parameters, request_id, count, outcome)
      VALUES ($1::uuid, $2::jsonb, $3, $4, $5::jsonb, $6, $7, $8)`;
    try {
      await this.#run(insert, values, "recording an action");
    } catch (cause) {
      if (cause instanceof MessengerError && cause.code === "TRANSPORT_UNAVAILABLE") throw cause;
      throw new MessengerError("AUDIT_FAILED", `the record of "${action}" could not be written`, { cause, details: { action } });
    }
  }

  #columns(): string {
    return `a.id::text, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.actor, a.action, a.target, a.parameters,
      a.request_id, a.count::float8, a.outcome, EXISTS (SELECT 1 FROM ${this.#trash} t WHERE t.audit_id = a.id)`;
  }

  #run(text: string, values: readonly unknown[], doing: string): Promise<Row[]> {
    return this.#input.database.run({ name: "", text }, [...values], doing);
  }
}

function toRecord(row: Row): AuditRecord {
  const [id, at, actor, action, target, parameters, requestId, count, outcome, undoable] = row as [
    string,
    string,
    Actor,
    string,
    string | null,
    Record<string, unknown>,
    string | null,
    number,
    string,
    boolean,
  ];
  return { id, at, actor, action, target, parameters, requestId, count, outcome, undoable };
}
