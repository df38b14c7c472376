import { BUNDLE_COLUMNS } from "./bundle-statements.ts";
import type { IndexLayout } from "./index-layout.ts";
import type { PgBossOptions } from "./options.ts";
import {
  AUDIT_TABLE,
  BUNDLE_TABLE,
  COUNTER_TABLE,
  PAUSE_TABLE,
  REDRIVE_TABLE,
  REQUEST_TABLE,
  SCHEDULE_TABLE,
  SIGNAL_TABLE,
  TRASH_TABLE,
  WORKER_TABLE,
} from "./statements.ts";

/** pg-boss refuses no number of seconds up to int4; this is 63 years: nothing that waits is ever deleted for its age. */
const NEVER_SECONDS = 2_000_000_000;
/** The longest that pg-boss allows. Our leases end with the beats of a worker, not with a time per message. */
const EXPIRE_SECONDS = 86_400;
/** Our retry strategy decides; pg-boss must never think that attempts are used up. Not 2^31-1: it computes limit + 1. */
const RETRY_LIMIT = 1_000_000;

/** Options of a queue as `createQueue` takes them. */
export interface QueueOptions {
  readonly policy: "standard";
  readonly partition: true;
  readonly retryLimit: number;
  readonly retryDelay: number;
  readonly retryBackoff: boolean;
  readonly expireInSeconds: number;
  readonly retentionSeconds: number;
  readonly deleteAfterSeconds: number;
  readonly deadLetter?: string;
}

const COMMON = {
  policy: "standard",
  partition: true,
  retryLimit: RETRY_LIMIT,
  retryDelay: 0,
  retryBackoff: false,
  expireInSeconds: EXPIRE_SECONDS,
  retentionSeconds: NEVER_SECONDS,
} as const;

export function queueOptions(name: string, options: PgBossOptions): QueueOptions {
  // 0 is pg-boss's "never". Rows of ordinary queues are only kept for their idempotency key.
  if (name === options.deadLetterQueue) return { ...COMMON, deleteAfterSeconds: 0 };
  return { ...COMMON, deleteAfterSeconds: options.idempotencyWindowSeconds, deadLetter: options.deadLetterQueue };
}

/** Our tables beside pg-boss's, in its schema: name and columns. */
export const OWN_TABLES: Readonly<Record<string, string>> = {
  [WORKER_TABLE]: `worker_id text PRIMARY KEY, hostname text NOT NULL, pid int NOT NULL, queues text[] NOT NULL, slots int NOT NULL,
  in_flight int NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), last_beat_at timestamptz NOT NULL DEFAULT now()`,
  [COUNTER_TABLE]:
    "queue text PRIMARY KEY, handled bigint NOT NULL DEFAULT 0, failed bigint NOT NULL DEFAULT 0, retried bigint NOT NULL DEFAULT 0",
  [BUNDLE_TABLE]: BUNDLE_COLUMNS,
  [SIGNAL_TABLE]: "name text PRIMARY KEY, at timestamptz NOT NULL",
  // Ids rise with time: the primary key is the order of the list, and the oldest are found in it.
  [AUDIT_TABLE]: `id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), actor jsonb NOT NULL, action text NOT NULL, target text,
  parameters jsonb NOT NULL, request_id text, count bigint NOT NULL, outcome text NOT NULL`,
  // The second key is there to find what is over.
  [REQUEST_TABLE]: `key text PRIMARY KEY, fingerprint text NOT NULL, status int, body jsonb, at timestamptz NOT NULL DEFAULT now(),
  until timestamptz NOT NULL, UNIQUE (until, key)`,
  [TRASH_TABLE]: `audit_id uuid NOT NULL, source text NOT NULL, id uuid NOT NULL, at timestamptz NOT NULL DEFAULT now(), job jsonb NOT NULL,
  PRIMARY KEY (audit_id, source, id)`,
  [SCHEDULE_TABLE]: `name text PRIMARY KEY, definition text NOT NULL, text text NOT NULL, type text NOT NULL, missed_after_ms bigint NOT NULL,
  revision bigint NOT NULL DEFAULT 1, due_at timestamptz, run_at timestamptz, not_before timestamptz, paused_at timestamptz,
  last_due_at timestamptz, last_run_at timestamptz, last_message_id text, runs bigint NOT NULL DEFAULT 0, missed bigint NOT NULL DEFAULT 0,
  last_error text, holder text, held_until timestamptz, created_at timestamptz NOT NULL DEFAULT now()`,
  // An empty type stands for the whole queue.
  [PAUSE_TABLE]: `queue text NOT NULL, type text NOT NULL DEFAULT '', paused_at timestamptz NOT NULL DEFAULT now(), paused_by text,
  PRIMARY KEY (queue, type)`,
  [REDRIVE_TABLE]: `id uuid PRIMARY KEY, action text NOT NULL, state text NOT NULL, filter jsonb NOT NULL, rate float8, canary int, most bigint,
  dry_run boolean NOT NULL, matching bigint NOT NULL, accuracy text NOT NULL, done bigint NOT NULL DEFAULT 0, conflicts bigint NOT NULL DEFAULT 0,
  until timestamptz NOT NULL, after_at timestamptz, after_id uuid, canary_at timestamptz, canary_ids uuid[], canary_queues text[],
  canary_fingerprints text[], canary_passed boolean NOT NULL DEFAULT false, reason text, audit_id uuid, requested_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, holder text, held_until timestamptz`,
};

/** Indexes beside those of pg-boss. */
export function indexes(name: string, options: PgBossOptions): readonly IndexLayout[] {
  if (name === options.deadLetterQueue) {
    // One for each way to list dead letters newest first.
    return [
      { suffix: "_m3", on: "(created_on DESC, id DESC)" },
      { suffix: "_m4", on: "(source_name, created_on DESC, id DESC)" },
      { suffix: "_m5", on: "((data ->> 'type'), created_on DESC, id DESC)" },
      { suffix: "_m6", on: "((source_output ->> 'fingerprint'), created_on DESC, id DESC)" },
    ];
  }
  return [
    // In flight: for reaping and counting. Without it both read the whole table.
    { suffix: "_m1", on: "(started_on) WHERE state = 'active'" },
    // Kept for their idempotency key: for forgetting them in time. Empty while nobody uses keys.
    { suffix: "_m2", on: "(completed_on) WHERE completed_on IS NOT NULL" },
    // Held back while their type is paused: for counting them and for letting them go. Empty while nothing is paused.
    { suffix: "_m8", on: "(created_on) WHERE blocked" },
  ];
}

/**
 * Storage parameters. A message leaves two dead rows behind, so vacuum comes by their number and not by a share of a
 * table that may be empty; it never truncates, for which it would lock out everybody.
 */
export const STORAGE: Readonly<Record<string, string>> = {
  autovacuum_vacuum_scale_factor: "0.02",
  autovacuum_vacuum_threshold: "2000",
  autovacuum_vacuum_insert_scale_factor: "0.2",
  autovacuum_analyze_scale_factor: "0.1",
  autovacuum_analyze_threshold: "2000",
  autovacuum_vacuum_cost_delay: "1",
  vacuum_truncate: "false",
};
