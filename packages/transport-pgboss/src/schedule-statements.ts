import { type Statement, statement } from "./connection.ts";
import { SCHEDULE_TABLE } from "./statements.ts";

const ms = (parameter: string): string => `${parameter}::float8 * interval '1 ms'`;
/** A time that came as milliseconds since 1970. */
const at = (parameter: string): string => `'epoch'::timestamptz + ${ms(parameter)}`;
const NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::float8::text";

/**
 * Leases of the schedules $2 for the holder $1, for $3 milliseconds; $4: how overdue a run must be for anybody to take
 * it. A lease is renewed when half of it is over: most calls write nothing. Rows `[kind, value]`: "held" with the
 * schedule as JSON, "unknown" with a name, and last "now".
 */
export function holdSchedules(schema: string): Statement {
  const table = `${schema}.${SCHEDULE_TABLE}`;
  return statement(
    "hold_schedules",
    `WITH held AS (
       UPDATE ${table} SET holder = $1::text, held_until = now() + ${ms("$3")}
       WHERE name = ANY ($2::text[]) AND (
         held_until IS NULL OR held_until < now()
         OR (holder = $1::text AND held_until < now() + ${ms("$3")} / 2)
         OR (holder <> $1::text AND paused_at IS NULL AND run_at < now() - ${ms("$4")}))
       RETURNING *)
     SELECT 'held', row_to_json(h)::text FROM held h
     UNION ALL SELECT 'held', row_to_json(s)::text FROM ${table} s
       WHERE s.name = ANY ($2::text[]) AND s.holder = $1::text AND s.held_until >= now() AND NOT EXISTS (SELECT 1 FROM held h WHERE h.name = s.name)
     UNION ALL SELECT 'unknown', m.name FROM unnest($2::text[]) AS m(name) WHERE NOT EXISTS (SELECT 1 FROM ${table} s WHERE s.name = m.name)
     UNION ALL SELECT 'now', ${NOW_MS}`,
  );
}

/** $1 name, $2 definition, $3 text, $4 type, $5 missed after, $6 due, $7 run; $8: the revision that is replaced, null for none. */
export function putSchedule(schema: string): Statement {
  return statement(
    "put_schedule",
    `INSERT INTO ${schema}.${SCHEDULE_TABLE} AS s (name, definition, text, type, missed_after_ms, due_at, run_at)
     SELECT $1::text, $2::text, $3::text, $4::text, $5::bigint, ${at("$6")}, ${at("$7")}
     WHERE $8::bigint IS NULL OR EXISTS (SELECT 1 FROM ${schema}.${SCHEDULE_TABLE} WHERE name = $1::text)
     ON CONFLICT (name) DO UPDATE SET definition = EXCLUDED.definition, text = EXCLUDED.text, type = EXCLUDED.type,
       missed_after_ms = EXCLUDED.missed_after_ms, due_at = EXCLUDED.due_at, run_at = EXCLUDED.run_at, last_error = NULL, revision = s.revision + 1
     WHERE s.revision = $8::bigint
     RETURNING name`,
  );
}

/**
 * Begins a step: the row is ours until the commit, if it is still of revision $2. First, so that who comes too late
 * sends nothing, also in a transaction that is not his to roll back.
 */
export const lockSchedule = (schema: string): Statement =>
  statement("lock_schedule", `SELECT name FROM ${schema}.${SCHEDULE_TABLE} WHERE name = $1::text AND revision = $2::bigint FOR UPDATE`);

/**
 * The fence of every step: who has not seen the last change ($2 its revision) changes nothing. $3 due, $4 run, $5 has
 * run, $6 its due time, $7 its message, $8 missed, $9 error.
 */
export function advanceSchedule(schema: string): Statement {
  return statement(
    "advance_schedule",
    `UPDATE ${schema}.${SCHEDULE_TABLE} SET revision = revision + 1, due_at = ${at("$3")}, run_at = ${at("$4")},
       last_run_at = CASE WHEN $5::bool THEN now() ELSE last_run_at END, last_due_at = coalesce(${at("$6")}, last_due_at),
       last_message_id = CASE WHEN $5::bool THEN $7::text ELSE last_message_id END, runs = runs + CASE WHEN $5::bool THEN 1 ELSE 0 END,
       missed = missed + $8::bigint, last_error = $9::text
     WHERE name = $1::text AND revision = $2::bigint RETURNING name`,
  );
}

/** Its revision rises, so that a run which has begun ends in vain. */
export function pauseSchedule(schema: string): Statement {
  return statement(
    "pause_schedule",
    `UPDATE ${schema}.${SCHEDULE_TABLE} SET revision = revision + 1,
       not_before = CASE WHEN NOT $2::bool AND paused_at IS NOT NULL THEN now() ELSE not_before END,
       paused_at = CASE WHEN $2::bool THEN coalesce(paused_at, now()) END
     WHERE name = $1::text RETURNING name`,
  );
}

export function listSchedules(schema: string): Statement {
  return statement(
    "list_schedules",
    `(SELECT 'schedule', row_to_json(s)::text FROM ${schema}.${SCHEDULE_TABLE} s ORDER BY s.name) UNION ALL SELECT 'now', ${NOW_MS}`,
  );
}

export const removeSchedule = (schema: string): Statement =>
  statement("remove_schedule", `DELETE FROM ${schema}.${SCHEDULE_TABLE} WHERE name = $1::text RETURNING name`);

export const releaseSchedules = (schema: string): Statement =>
  statement("release_schedules", `UPDATE ${schema}.${SCHEDULE_TABLE} SET holder = NULL, held_until = NULL WHERE holder = $1::text`);
