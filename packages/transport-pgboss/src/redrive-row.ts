import type { DeadLetterFilter, Redrive, RedriveAction, RedriveState } from "@symphony/core";
import type { Row } from "./connection.ts";
import type { Cursor } from "./filter.ts";

const time = (column: string): string => `to_char(r.${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Columns of a redrive, as `toRedriveRow` takes them; the table's alias is `r`. */
export const COLUMNS = `r.id::text, r.action, r.state, r.filter, r.rate, r.canary, r.most::float8, r.dry_run, r.matching::float8, r.accuracy, r.done::float8,
  r.conflicts::float8, ${time("until")}, ${time("after_at")}, r.after_id::text, ${time("canary_at")}, r.canary_ids::text[], r.canary_queues,
  r.canary_fingerprints, r.canary_passed, r.reason, r.audit_id::text, r.requested_by, ${time("created_at")}, ${time("updated_at")}, ${time("finished_at")},
  r.holder`;

/** A redrive with what only its next step needs to know. */
export interface RedriveRow {
  readonly redrive: Redrive;
  /** Nothing that failed later belongs to it. */
  readonly until: string;
  /** The last dead letter that was looked at. */
  readonly after: Cursor | undefined;
  /** The messages that were sent first, the queues they are in, and why they had failed. */
  readonly canaries:
    | { readonly at: string; readonly ids: readonly string[]; readonly queues: readonly string[]; readonly fingerprints: readonly string[] }
    | undefined;
  readonly auditId: string | null;
  readonly holder: string | null;
}

export function toRedriveRow(row: Row): RedriveRow {
  const [id, action, state, filter, rate, canary, limit, dryRun, matching, accuracy, done, conflicts, until, afterAt, afterId, ...rest] =
    row as [
      string,
      RedriveAction,
      RedriveState,
      DeadLetterFilter,
      number | null,
      number | null,
      number | null,
      boolean,
      number,
      Redrive["accuracy"],
      number,
      number,
      string,
      string | null,
      string | null,
      ...unknown[],
    ];
  const [canaryAt, ids, queues, fingerprints, hasPassed, reason, auditId, requestedBy, createdAt, updatedAt, finishedAt, holder] = rest as [
    string | null,
    string[] | null,
    string[] | null,
    string[] | null,
    boolean,
    string | null,
    string | null,
    string,
    string,
    string,
    string | null,
    string | null,
  ];
  const canaryState = canary === null ? "none" : hasPassed ? "passed" : "waiting";
  return {
    redrive: {
      ...{ id, action, state, filter, rate, canary, canaryState, limit, dryRun, matching, accuracy, done, conflicts },
      ...{ reason, requestedBy, createdAt, updatedAt, finishedAt },
    },
    until,
    after: afterAt === null || afterId === null ? undefined : { at: afterAt, id: afterId },
    canaries: canaryAt === null ? undefined : { at: canaryAt, ids: ids ?? [], queues: queues ?? [], fingerprints: fingerprints ?? [] },
    auditId,
    holder,
  };
}
