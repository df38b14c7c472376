import type pg from "pg";
import type { Activity } from "./normalise.ts";

/** Everything the example asks of its own tables. The library's tables are the library's business. */

const SCHEMA = "symphony_webhooks";
/** Any number, the same for all: two programs that start at once must not create the tables at once. */
const SETUP_LOCK = 7_260_221;
const RUN_LOCK = 7_260_222;

const TABLES = `
  create schema if not exists ${SCHEMA};
  create table if not exists ${SCHEMA}.run (
    run_id uuid primary key,
    started_at timestamptz not null default now()
  );
  -- The primary key is the message's id, and the insert has no "on conflict": handled twice, a message would fail here.
  create table if not exists ${SCHEMA}.activity (
    message_id uuid primary key,
    run_id uuid not null,
    delivery_id text not null,
    event text not null,
    action text,
    repository text,
    scope text not null,
    actor text not null,
    title text not null,
    url text,
    occurred_at timestamptz,
    body_bytes integer not null,
    summaries integer not null,
    outgoing integer not null,
    attempt integer not null,
    latency_ms double precision not null,
    handled_at timestamptz not null default clock_timestamp()
  );
  create index if not exists activity_of_run on ${SCHEMA}.activity (run_id, repository);
  create table if not exists ${SCHEMA}.repository_summary (
    run_id uuid not null,
    repository text not null,
    events integer not null,
    markdown text not null,
    rendered_at timestamptz not null default clock_timestamp(),
    primary key (run_id, repository)
  );
  create table if not exists ${SCHEMA}.summary_done (
    message_id uuid primary key,
    run_id uuid not null,
    latency_ms double precision not null
  );
  create index if not exists summary_done_of_run on ${SCHEMA}.summary_done (run_id);
`;

export async function setUpTables(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query("select pg_advisory_xact_lock($1)", [SETUP_LOCK]);
    await client.query(TABLES);
    await client.query("commit");
    client.release();
  } catch (error) {
    // Closing the connection rolls back, also when the connection is what failed.
    client.release(true);
    throw error;
  }
}

/**
 * Takes the database for one run; resolves with what gives it back. Two at a time would work off each other's messages,
 * and neither could say what became of its own.
 *
 * @throws {Error} another run has it.
 */
export async function lockForRun(pool: pg.Pool): Promise<() => void> {
  const client = await pool.connect();
  const { rows } = await client.query<{ taken: boolean }>("select pg_try_advisory_lock($1) as taken", [RUN_LOCK]);
  if (rows[0]?.taken === true) return () => client.release(true);
  client.release();
  throw new Error("another run of this example is working on the same database: stop it first");
}

/** Enters a new run and forgets all but the newest `keep`. Resolves with the time, by the database's clock. */
export async function beginRun(pool: pg.Pool, runId: string, keep: number): Promise<Date> {
  const { rows } = await pool.query<{ at: Date }>(`insert into ${SCHEMA}.run (run_id) values ($1) returning started_at as at`, [runId]);
  await pool.query(
    `with old as (delete from ${SCHEMA}.run where run_id in (select run_id from ${SCHEMA}.run order by started_at desc offset $1) returning run_id),
          a as (delete from ${SCHEMA}.activity where run_id in (select run_id from old)),
          s as (delete from ${SCHEMA}.repository_summary where run_id in (select run_id from old))
     delete from ${SCHEMA}.summary_done where run_id in (select run_id from old)`,
    [keep],
  );
  const [run] = rows;
  if (run === undefined) throw new Error("an insert without a row");
  return run.at;
}

export interface ActivityRow {
  readonly messageId: string;
  readonly runId: string;
  readonly deliveryId: string;
  readonly activity: Activity;
  readonly bodyBytes: number;
  /** Follow-ups that were dispatched in the same transaction. */
  readonly summaries: number;
  readonly outgoing: number;
  readonly attempt: number;
  readonly latencyMs: number;
}

export async function insertActivity(client: pg.ClientBase, row: ActivityRow): Promise<void> {
  const { activity } = row;
  await client.query({
    name: "webhooks-insert-activity",
    text: `insert into ${SCHEMA}.activity (message_id, run_id, delivery_id, event, action, repository, scope, actor, title, url,
             occurred_at, body_bytes, summaries, outgoing, attempt, latency_ms)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
    values: [
      row.messageId,
      row.runId,
      row.deliveryId,
      activity.event,
      activity.action,
      activity.repository,
      activity.scope,
      activity.actor,
      activity.title,
      activity.url,
      activity.occurredAt,
      row.bodyBytes,
      row.summaries,
      row.outgoing,
      row.attempt,
      row.latencyMs,
    ],
  });
}

/** One line of a repository's story. */
export interface ActivityLine {
  readonly event: string;
  readonly action: string | null;
  readonly actor: string;
  readonly title: string;
  readonly url: string | null;
  readonly occurredAt: Date | null;
}

/** A repository's activities, newest first. Waits for others that summarise the same repository: the later one sees more. */
export async function activitiesForSummary(client: pg.ClientBase, runId: string, repository: string): Promise<ActivityLine[]> {
  await client.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`${runId}/${repository}`]);
  const { rows } = await client.query<ActivityLine>({
    name: "webhooks-activities-for-summary",
    text: `select event, action, actor, title, url, occurred_at as "occurredAt" from ${SCHEMA}.activity
           where run_id = $1 and repository = $2 order by occurred_at desc nulls last, message_id`,
    values: [runId, repository],
  });
  return rows;
}

export async function storeSummary(
  client: pg.ClientBase,
  summary: { messageId: string; runId: string; repository: string; events: number; markdown: string; latencyMs: number },
): Promise<void> {
  await client.query(
    `insert into ${SCHEMA}.repository_summary (run_id, repository, events, markdown) values ($1, $2, $3, $4)
     on conflict (run_id, repository) do update
       set events = excluded.events, markdown = excluded.markdown, rendered_at = clock_timestamp()`,
    [summary.runId, summary.repository, summary.events, summary.markdown],
  );
  await client.query(`insert into ${SCHEMA}.summary_done (message_id, run_id, latency_ms) values ($1, $2, $3)`, [
    summary.messageId,
    summary.runId,
    summary.latencyMs,
  ]);
}

/** What the tables say about a run. Counted there, not kept in a variable: it survives whoever is killed. */
export interface RunFigures {
  readonly activities: number;
  readonly summariesDispatched: number;
  readonly summariesHandled: number;
  readonly outgoingDispatched: number;
  readonly repositories: number;
  /** Events in the rendered summaries: equal to the activities that have a repository, when none was missed. */
  readonly eventsInSummaries: number;
  readonly activitiesWithRepository: number;
  readonly latencyMs: readonly [p50: number, p95: number, p99: number] | null;
}

export async function readFigures(pool: pg.Pool, runId: string): Promise<RunFigures> {
  const { rows } = await pool.query<RunFigures>(
    `with a as (
       select count(*)::int as activities, coalesce(sum(summaries), 0)::int as summaries, coalesce(sum(outgoing), 0)::int as outgoing,
              count(repository)::int as with_repository,
              percentile_cont(array[0.5, 0.95, 0.99]) within group (order by latency_ms) as latency
       from ${SCHEMA}.activity where run_id = $1),
     s as (select count(*)::int as repositories, coalesce(sum(events), 0)::int as events from ${SCHEMA}.repository_summary where run_id = $1),
     d as (select count(*)::int as done from ${SCHEMA}.summary_done where run_id = $1)
     select a.activities, a.summaries as "summariesDispatched", d.done as "summariesHandled", a.outgoing as "outgoingDispatched",
            s.repositories, s.events as "eventsInSummaries", a.with_repository as "activitiesWithRepository", a.latency as "latencyMs"
     from a, s, d`,
    [runId],
  );
  const [figures] = rows;
  if (figures === undefined) throw new Error("an aggregate without a row");
  return figures;
}

export interface RepositorySummary {
  readonly repository: string;
  readonly events: number;
  readonly markdown: string;
}

export async function readSummaries(pool: pg.Pool, runId: string): Promise<RepositorySummary[]> {
  const { rows } = await pool.query<RepositorySummary>(
    `select repository, events, markdown from ${SCHEMA}.repository_summary where run_id = $1 order by events desc, repository`,
    [runId],
  );
  return rows;
}
