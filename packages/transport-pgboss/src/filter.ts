import { type DeadLetterFilter, OptionsError, type QueuePattern, queueNamesOf } from "@symphony/core";
import type { Row } from "./connection.ts";
import { UUID_PATTERN } from "./row-codec.ts";

/** A WHERE clause and its parameters. */
export interface Where {
  readonly text: string;
  /** Without what the planner can only guess: almost every row is in one of the states. */
  readonly forEstimate: string;
  readonly values: readonly unknown[];
  /** A condition that no index answers, for the rows that fulfil the others. */
  readonly search?: string;
}

/** Rows of which the errors' messages are read, in one statement. Their text is not indexed: reading a million would take minutes. */
const SEARCHED = 20_000;

/**
 * What a statement selects from, and its condition: `FROM … t WHERE …`.
 *
 * @param order - Which rows are looked at first when there is text to search for.
 */
export function fromWhere(table: string, where: Where, order: string): string {
  if (where.search === undefined) return `FROM ${table} t WHERE ${where.text}`;
  return `FROM (SELECT t.* FROM ${table} t WHERE ${where.text} ORDER BY ${order} LIMIT ${SEARCHED}) t WHERE ${where.search}`;
}

/** What a dead letter's row must be in: pg-boss calls one that it could not redrive "failed". */
const STATES = "t.state::text IN ('created', 'retry', 'failed')";

/**
 * @param cursor - Only what comes after it in the list, newest first.
 * @param after - Only what failed after it: on the way from the oldest to the newest.
 */
export function whereOf(queue: string, filter: DeadLetterFilter, cursor?: Cursor, after?: Cursor): Where {
  const values: unknown[] = [queue];
  const parts = ["t.name = $1", STATES];
  const add = (value: unknown, condition: (parameter: string) => string): void => {
    if (value === undefined) return;
    values.push(value);
    parts.push(condition(`$${values.length}`));
  };
  // What is no id cannot be that of a dead letter, and PostgreSQL would refuse the whole question.
  add(
    filter.ids?.filter((id) => UUID_PATTERN.test(id)),
    (p) => `t.id = ANY (${p}::uuid[])`,
  );
  add(filter.type, (p) => `t.data ->> 'type' = ${p}::text`);
  add(filter.queue, (p) => `t.source_name = ${p}::text`);
  if (filter.queues !== undefined) parts.push(...queueConditions(filter.queues, values));
  if (filter.fingerprint === "") parts.push("t.source_output ->> 'fingerprint' IS NULL");
  else add(filter.fingerprint, (p) => `t.source_output ->> 'fingerprint' = ${p}::text`);
  add(time("since", filter.since), (p) => `t.created_on >= ${p}::timestamptz`);
  add(time("until", filter.until), (p) => `t.created_on < ${p}::timestamptz`);
  if (cursor !== undefined) {
    values.push(cursor.at, cursor.id);
    parts.push(`(t.created_on, t.id) < ($${values.length - 1}::timestamptz, $${values.length}::uuid)`);
  }
  if (after !== undefined) {
    values.push(after.at, after.id);
    parts.push(`(t.created_on, t.id) > ($${values.length - 1}::timestamptz, $${values.length}::uuid)`);
  }
  const text = parts.join(" AND ");
  const forEstimate = parts.filter((part) => part !== STATES).join(" AND ");
  if (filter.search === undefined) return { text, forEstimate, values };
  values.push(filter.search);
  return { text, forEstimate, values, search: `strpos(lower(t.source_output #>> '{error,message}'), lower($${values.length}::text)) > 0` };
}

/** One condition, or none when every queue will do; adds its parameters to `values`. */
function queueConditions(patterns: readonly QueuePattern[], values: unknown[]): readonly string[] {
  const { all, names, prefixes } = queueNamesOf(patterns);
  if (all) return [];
  const any: string[] = [];
  if (names.length === 1) any.push(`t.source_name = $${values.push(names[0])}::text`);
  if (names.length > 1) any.push(`t.source_name = ANY ($${values.push(names)}::text[])`);
  // Not LIKE: an underscore in a name is itself.
  for (const prefix of prefixes) any.push(`starts_with(t.source_name, $${values.push(prefix)}::text)`);
  return [any.length === 0 ? "false" : `(${any.join(" OR ")})`];
}

/** As text: a Date has no microseconds, and a page that begins a fraction too early repeats or loses rows. */
function time(name: string, value: string | undefined): string | undefined {
  if (value !== undefined && Number.isNaN(Date.parse(value))) throw new OptionsError(`filter.${name}`, value, "must be an RFC 3339 time");
  return value;
}

/** A place in the list. */
export interface Cursor {
  readonly at: string;
  readonly id: string;
}

export const encodeCursor = (cursor: Cursor): string => Buffer.from(`${cursor.at} ${cursor.id}`).toString("base64url");

/** @throws {OptionsError} */
export function decodeCursor(text: string): Cursor {
  const [at = "", id = "", ...rest] = Buffer.from(text, "base64url").toString("utf8").split(" ");
  if (rest.length > 0 || Number.isNaN(Date.parse(at)) || !UUID_PATTERN.test(id))
    throw new OptionsError("cursor", text, "must be a nextCursor of an earlier page");
  return { at, id };
}

/** How many rows fulfil a condition, by the planner's statistics. `run` runs a statement. */
export async function estimateOf(
  table: string,
  where: Where,
  run: (text: string, values: readonly unknown[]) => Promise<Row[]>,
): Promise<number> {
  const plan = await run(`EXPLAIN (FORMAT JSON) SELECT 1 FROM ${table} t WHERE ${where.forEstimate}`, where.values);
  return (plan[0]?.[0] as [{ Plan: { "Plan Rows": number } }] | undefined)?.[0].Plan["Plan Rows"] ?? 0;
}
