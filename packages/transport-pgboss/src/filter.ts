import { type DeadLetterFilter, OptionsError } from "@symphony/core";
import { UUID_PATTERN } from "./row-codec.ts";

/** A WHERE clause and its parameters. */
export interface Where {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** What a dead letter's row must be in: pg-boss calls one that it could not redrive "failed". */
const STATES = "t.state::text IN ('created', 'retry', 'failed')";

/** @param cursor - Only what comes after it in the list, newest first. */
export function whereOf(queue: string, filter: DeadLetterFilter, cursor?: Cursor): Where {
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
  add(filter.fingerprint, (p) => `t.source_output ->> 'fingerprint' = ${p}::text`);
  add(time("since", filter.since), (p) => `t.created_on >= ${p}::timestamptz`);
  add(time("until", filter.until), (p) => `t.created_on < ${p}::timestamptz`);
  if (cursor !== undefined) {
    values.push(cursor.at, cursor.id);
    parts.push(`(t.created_on, t.id) < ($${values.length - 1}::timestamptz, $${values.length}::uuid)`);
  }
  return { text: parts.join(" AND "), values };
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
