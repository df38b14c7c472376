import type { Database } from "../connection.ts";

/** What the server says of itself. */
export interface ServerState {
  readonly settings: ReadonlyMap<string, string>;
  /** As in `server_version_num`. */
  readonly version: number;
  /** Connections of clients now. */
  readonly connections: number;
  /** Share of the queue of notifications that is full, 0 to 1. */
  readonly notifyQueue: number;
  /** Milliseconds by which the server's clock is ahead of ours. */
  readonly clockAheadMs: number;
}

/** A transaction that has been open for long and keeps vacuum from removing what has died since. */
export interface OpenTransaction {
  readonly kind: "session" | "prepared" | "slot";
  /** Process id, name of the prepared transaction or of the replication slot. */
  readonly name: string;
  readonly ageMs: number | null;
  readonly who: string;
  readonly what: string;
}

const SETTINGS = [
  "fsync",
  "full_page_writes",
  "synchronous_commit",
  "autovacuum",
  "track_counts",
  "max_connections",
  "superuser_reserved_connections",
  "reserved_connections",
  "server_version_num",
];

export async function readServer(database: Database, now: () => number): Promise<ServerState> {
  const text = `SELECT ARRAY (SELECT name || '=' || setting FROM pg_settings WHERE name = ANY ($1::text[])),
      (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
      pg_notification_queue_usage(),
      extract(epoch FROM clock_timestamp())::float8 * 1000`;
  const sent = now();
  const [row] = await database.run({ name: "", text }, [SETTINGS], "examining the server");
  const received = now();
  const [pairs, connections, notifyQueue, serverMs] = row as [string[], number, number, number];
  const settings = new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
  const version = Number(settings.get("server_version_num"));
  // Anything between the two readings of our clock is no difference.
  const clockAheadMs = serverMs < sent ? serverMs - sent : Math.max(0, serverMs - received);
  return { settings, version, connections, notifyQueue, clockAheadMs };
}

/** The oldest few of each kind. Needs no special right; of others' sessions only the owner and superusers see the query. */
export async function readOpenTransactions(database: Database, olderThanMs: number): Promise<readonly OpenTransaction[]> {
  const text = `(SELECT 'session', pid::text, extract(epoch FROM clock_timestamp() - xact_start)::float8 * 1000,
        concat_ws(' ', usename, nullif(application_name, '')), concat_ws(': ', state, left(query, 120))
      FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND backend_type = 'client backend'
        AND xact_start < clock_timestamp() - $1::float8 * interval '1 ms' ORDER BY xact_start LIMIT 5)
    UNION ALL
    (SELECT 'prepared', gid, extract(epoch FROM clock_timestamp() - prepared)::float8 * 1000, owner::text, database::text
      FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - $1::float8 * interval '1 ms' ORDER BY prepared LIMIT 5)
    UNION ALL
    (SELECT 'slot', slot_name::text, NULL, coalesce(database::text, slot_type), 'inactive' FROM pg_replication_slots
      WHERE NOT active AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL OR restart_lsn IS NOT NULL) ORDER BY slot_name LIMIT 5)`;
  const rows = await database.run({ name: "", text }, [olderThanMs], "looking for open transactions");
  return rows.map((row) => {
    const [kind, name, ageMs, who, what] = row as [OpenTransaction["kind"], string, number | null, string, string];
    return { kind, name, ageMs, who, what };
  });
}
