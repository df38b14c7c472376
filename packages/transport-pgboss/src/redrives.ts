import {
  commandedState,
  type DeadLetterFilter,
  judgeCanaries,
  OptionsError,
  type Redrive,
  type RedriveCommand,
  type RedriveLease,
  type RedriveRequest,
  type RedriveState,
  type RedriveStep,
  type RedriveStore,
  type Runtime,
} from "@symphony/core";
import { memberOf } from "./bundle-statements.ts";
import type { Database, Row } from "./connection.ts";
import { whereOf } from "./filter.ts";
import type { QueueDirectory } from "./queues.ts";
import { COLUMNS, type RedriveRow, toRedriveRow } from "./redrive-row.ts";
import { UUID_PATTERN } from "./row-codec.ts";
import { REDRIVE_TABLE } from "./statements.ts";

/** Rows whose errors' messages one step reads when there is text to search for. */
const SEARCHED = 2_000;
/** Days after its end for which a redrive can be looked at. */
const KEPT_DAYS = 90;

/** What a redrive does with dead letters; every statement of it joins the transaction of the step. */
export interface DeadLetterActions {
  count(filter: DeadLetterFilter): Promise<{ readonly total: number; readonly accuracy: "exact" | "estimated" }>;
  redrive(
    filter: DeadLetterFilter,
    limit: number,
  ): Promise<{ readonly redriven: readonly string[]; readonly conflicts: readonly string[] }>;
  remove(filter: DeadLetterFilter, limit: number): Promise<{ readonly removed: readonly string[] }>;
}

export interface RedrivesInput {
  readonly database: Database;
  readonly queues: QueueDirectory;
  readonly deadLetters: DeadLetterActions;
  readonly runtime: Runtime;
  readonly schema: string;
}

/** A dead letter that a step looks at. */
interface Candidate {
  readonly id: string;
  readonly queue: string | null;
  readonly at: string;
  readonly fingerprint: string | null;
  /** It has the text that is searched for. */
  readonly isHit: boolean;
}

/** Redrives as rows of a table of ours; each step is one transaction with what it does to the dead letters. */
export class Redrives implements RedriveStore {
  readonly #input: RedrivesInput;
  readonly #table: string;

  constructor(input: RedrivesInput) {
    this.#input = input;
    this.#table = `${input.schema}.${REDRIVE_TABLE}`;
  }

  async create(request: RedriveRequest): Promise<Redrive> {
    const { deadLetters, database, runtime } = this.#input;
    const { action, filter, rate = null, canary = null, limit = null, dryRun = false, requestedBy } = request;
    const page = await deadLetters.count(filter);
    const matching = Math.min(page.total, limit ?? Number.POSITIVE_INFINITY);
    await this.#run(`DELETE FROM ${this.#table} WHERE finished_at < now() - interval '${KEPT_DAYS} days'`, [], "forgetting old redrives");
    const state: RedriveState = dryRun ? "done" : "running";
    const rows = await this.#run(
      `INSERT INTO ${this.#table} AS r (id, action, state, filter, rate, canary, most, dry_run, matching, accuracy, until, audit_id, requested_by, finished_at)
       VALUES ($1::uuid, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, LEAST(now(), $11::timestamptz), $12::uuid, $13, CASE WHEN $8::boolean THEN now() END)
       RETURNING ${COLUMNS}`,
      [
        ...[runtime.newId(), action, state, JSON.stringify(filter), rate, canary, limit, dryRun, matching, page.accuracy],
        ...[filter.until ?? null, database.action ?? null, requestedBy],
      ],
      "making a redrive",
    );
    return toRedriveRow(rows[0] as Row).redrive;
  }

  async get(id: string): Promise<Redrive | undefined> {
    if (!UUID_PATTERN.test(id)) return undefined;
    return (await this.#select("WHERE r.id = $1::uuid", [id]))[0]?.redrive;
  }

  async list({ limit, cursor }: { limit: number; cursor?: string }): Promise<{ redrives: readonly Redrive[]; nextCursor: string | null }> {
    if (cursor !== undefined && !UUID_PATTERN.test(cursor)) throw new OptionsError("cursor", cursor, "must be the nextCursor of a page");
    const rows = await this.#select(`WHERE $1::uuid IS NULL OR r.id < $1::uuid ORDER BY r.id DESC LIMIT ${limit + 1}`, [cursor ?? null]);
    const redrives = rows.slice(0, limit).map((row) => row.redrive);
    return { redrives, nextCursor: rows.length > limit ? (redrives.at(-1)?.id ?? null) : null };
  }

  async control(id: string, command: RedriveCommand): Promise<Redrive | undefined> {
    if (!UUID_PATTERN.test(id)) return undefined;
    return this.#input.database.inTransaction(`asking a redrive to ${command}`, async (client) => {
      const [before] = await this.#select("WHERE r.id = $1::uuid FOR UPDATE", [id], client);
      const state = before === undefined ? undefined : commandedState(before.redrive.state, command);
      if (before === undefined || state === undefined) return before?.redrive;
      // After a stop new canaries are sent; after a pause those that were sent get their time again.
      const canaries =
        command !== "resume"
          ? ""
          : before.redrive.state === "stopped"
            ? ", canary_at = NULL, canary_ids = NULL, canary_queues = NULL, canary_fingerprints = NULL, canary_passed = false"
            : ", canary_at = CASE WHEN canary_at IS NOT NULL THEN now() END";
      return this.#update(`${ENTER}, holder = NULL, held_until = NULL${canaries}`, [id, state, null], client);
    });
  }

  async hold({ holder, leaseMs }: RedriveLease, id?: string): Promise<Redrive | undefined> {
    const rows = await this.#run(
      `UPDATE ${this.#table} r SET holder = $1, held_until = now() + $2::float8 * interval '1 ms'
       WHERE r.id = (SELECT o.id FROM ${this.#table} o WHERE o.state = 'running' AND ($3::uuid IS NULL OR o.id = $3::uuid)
         AND (o.held_until IS NULL OR o.held_until < now() OR o.holder = $1) ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED)
       RETURNING ${COLUMNS}`,
      [holder, leaseMs, id ?? null],
      "looking for a redrive",
    );
    return rows[0] === undefined ? undefined : toRedriveRow(rows[0]).redrive;
  }

  async advance(id: string, lease: RedriveLease, max: number): Promise<RedriveStep | undefined> {
    const { database } = this.#input;
    // What it removes goes to the trash of the action that asked for it.
    const [known] = await this.#select("WHERE r.id = $1::uuid", [id]);
    if (known === undefined) return undefined;
    return database.inAction("advancing a redrive", known.auditId ?? id, async () => {
      const [row] = await this.#select("WHERE r.id = $1::uuid FOR UPDATE", [id]);
      if (row === undefined) return undefined;
      const idle = { redrive: row.redrive, held: row.holder === lease.holder, taken: 0, waiting: false };
      if (!idle.held || row.redrive.state !== "running") return idle;
      await this.#update("held_until = now() + $2::float8 * interval '1 ms', updated_at = now()", [id, lease.leaseMs]);
      if (row.canaries !== undefined) {
        const judged = await this.#judge(row);
        if (judged !== undefined) return { ...idle, redrive: judged, waiting: true };
      }
      return { ...idle, ...(await this.#take(row, max)) };
    });
  }

  async letGo(id: string, holder: string): Promise<void> {
    await this.#run(
      `UPDATE ${this.#table} SET holder = NULL, held_until = NULL WHERE id = $1::uuid AND holder = $2`,
      [id, holder],
      "letting go of a redrive",
    );
  }

  /** Undefined: nothing speaks against going on. */
  async #judge(row: RedriveRow): Promise<Redrive | undefined> {
    const { schema, queues } = this.#input;
    const { ids, queues: names, fingerprints, at } = row.canaries as NonNullable<RedriveRow["canaries"]>;
    const dead = await queues.deadLetters();
    const letters = `SELECT 1 FROM ${schema}.${dead.table} t WHERE t.name = $5 AND t.created_on >= $4::timestamptz`;
    const [facts] = await this.#run(
      `SELECT (SELECT count(*)::int FROM unnest($1::uuid[], $2::text[]) AS c(id, name)
           WHERE EXISTS (SELECT 1 FROM ${schema}.job j WHERE j.name = c.name AND j.id = c.id AND j.state::text IN ('created', 'retry', 'active'))
             OR EXISTS (${memberOf(schema, "c.name", "c.id")})),
         EXISTS (${letters} AND t.id = ANY ($1::uuid[])) OR EXISTS (${letters} AND t.source_output ->> 'fingerprint' = ANY ($3::text[])),
         extract(epoch FROM now() - $4::timestamptz)::float8 * 1000`,
      [ids, names, fingerprints, at, dead.name],
      "looking after the first messages of a redrive",
    );
    const [waiting, failedAgain, ageMs] = facts as unknown as [number, boolean, number];
    const hasPassed = row.redrive.canaryState === "passed";
    const verdict = judgeCanaries({ waiting: hasPassed ? 0 : waiting, failedAgain, ageMs });
    if (verdict.kind === "stopped" || verdict.kind === "paused") return this.#enter(row, verdict.kind, verdict.reason);
    if (verdict.kind === "wait") return row.redrive;
    if (!hasPassed) await this.#update("canary_passed = true", [row.redrive.id]);
    return undefined;
  }

  async #take(row: RedriveRow, max: number): Promise<{ redrive: Redrive; taken: number }> {
    const { redrive } = row;
    const isFirst = redrive.canary !== null && row.canaries === undefined;
    const left = redrive.limit === null ? Number.POSITIVE_INFINITY : redrive.limit - redrive.done;
    if (left <= 0) return { redrive: await this.#enter(row, "done", null), taken: 0 };
    const most = max === 0 ? 0 : Math.min(left, isFirst ? (redrive.canary ?? max) : max);
    if (most === 0) return { redrive: (await this.get(redrive.id)) ?? redrive, taken: 0 };
    const looked = await this.#candidates(row, most);
    const hits = looked.rows.filter((each) => each.isHit).slice(0, most);
    const { done, conflicts } = await this.#deal(redrive, hits);
    // Up to the last one that was dealt with, or, when there are no more hits among them, that was looked at.
    const last = hits.length === most ? hits.at(-1) : looked.rows.at(-1);
    if (last !== undefined)
      await this.#update(
        "after_at = $2::timestamptz, after_id = $3::uuid, done = done + $4, conflicts = conflicts + $5, updated_at = now()",
        [redrive.id, last.at, last.id, done.length, conflicts.length],
      );
    if (isFirst && done.length > 0) {
      const sent = hits.filter((each) => done.includes(each.id));
      const fingerprints = [...new Set(sent.flatMap((each) => each.fingerprint ?? []))];
      await this.#update("canary_at = now(), canary_ids = $2::uuid[], canary_queues = $3::text[], canary_fingerprints = $4::text[]", [
        ...[redrive.id, sent.map((each) => each.id), sent.map((each) => each.queue)],
        fingerprints,
      ]);
    }
    const isOver = !looked.hasMore && hits.length < most && !(isFirst && done.length > 0);
    const after = isOver ? await this.#enter(row, "done", null) : ((await this.get(redrive.id)) ?? redrive);
    return { redrive: after, taken: hits.length };
  }

  async #candidates({ redrive, until, after }: RedriveRow, most: number): Promise<{ rows: Candidate[]; hasMore: boolean }> {
    const { queues, schema } = this.#input;
    const dead = await queues.deadLetters();
    const where = whereOf(dead.name, { ...redrive.filter, until }, undefined, after);
    const limit = where.search === undefined ? most : SEARCHED;
    const rows = await this.#run(
      `SELECT t.id::text, t.source_name, to_char(t.created_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), t.source_output ->> 'fingerprint',
         ${where.search ?? "true"}
       FROM ${schema}.${dead.table} t WHERE ${where.text} ORDER BY t.created_on, t.id LIMIT ${limit}`,
      where.values,
      "looking for dead letters",
    );
    const found = rows.map(([id, queue, at, fingerprint, isHit]) => ({ id, queue, at, fingerprint, isHit }) as Candidate);
    return { rows: found, hasMore: rows.length === limit };
  }

  async #deal({ action }: Redrive, hits: readonly Candidate[]): Promise<{ done: readonly string[]; conflicts: readonly string[] }> {
    const { deadLetters } = this.#input;
    const ids = hits.map((each) => each.id);
    if (ids.length === 0) return { done: [], conflicts: [] };
    if (action === "remove") return { done: (await deadLetters.remove({ ids }, ids.length)).removed, conflicts: [] };
    const { redriven, conflicts } = await deadLetters.redrive({ ids }, ids.length);
    return { done: redriven, conflicts };
  }

  async #enter({ redrive }: RedriveRow, state: RedriveState, reason: string | null): Promise<Redrive> {
    return (await this.#update(ENTER, [redrive.id, state, reason])) ?? redrive;
  }

  async #update(change: string, values: readonly unknown[], on?: Parameters<Database["run"]>[3]): Promise<Redrive | undefined> {
    const rows = await this.#run(
      `UPDATE ${this.#table} AS r SET ${change} WHERE r.id = $1::uuid RETURNING ${COLUMNS}`,
      values,
      "writing a redrive down",
      on,
    );
    return rows[0] === undefined ? undefined : toRedriveRow(rows[0]).redrive;
  }

  async #select(rest: string, values: readonly unknown[], on?: Parameters<Database["run"]>[3]): Promise<RedriveRow[]> {
    return (await this.#run(`SELECT ${COLUMNS} FROM ${this.#table} r ${rest}`, values, "reading redrives", on)).map(toRedriveRow);
  }

  #run(text: string, values: readonly unknown[], doing: string, on?: Parameters<Database["run"]>[3]): Promise<Row[]> {
    return this.#input.database.run({ name: "", text }, [...values], doing, on);
  }
}

/** $2 state, $3 reason. */
const ENTER = `state = $2, reason = $3, updated_at = now(), finished_at = CASE WHEN $2 IN ('done', 'cancelled') THEN now() END`;
