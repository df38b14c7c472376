import type { Settlement } from "./checker.ts";
import type { Database } from "./database.ts";

/** A change of a message's state, in the order of its transaction. */
export interface Change {
  readonly op: "INSERT" | "UPDATE" | "DELETE";
  readonly queue: string;
  readonly id: string;
  readonly oldState: string | null;
  readonly newState: string | null;
  readonly oldFence: number | null;
  readonly newFence: number | null;
  /** In whose name the row is, or was, claimed. */
  readonly worker: string | null;
  /** Milliseconds since 1970, by the database's clock. */
  readonly at: number;
}

/** The moment at which a worker made itself known: from then on it receives. */
export interface Registration {
  readonly pid: number;
  readonly id: string;
  /** Milliseconds since 1970, by the database's clock. */
  readonly at: number;
}

/**
 * Writes down every change of a job's state, and every new worker, in the transaction that makes it: what was rolled back or lost in a crash
 * is not in the record either.
 */
const installSql = (schema: string): string => `
  CREATE SCHEMA symphony_audit;
  CREATE TABLE symphony_audit.change (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    op text NOT NULL, queue text NOT NULL, id uuid NOT NULL,
    old_state text, new_state text, old_fence int, new_fence int, worker text);
  CREATE INDEX ON symphony_audit.change (id, xact);
  CREATE FUNCTION symphony_audit.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO symphony_audit.change (op, queue, id, new_state, new_fence) VALUES (TG_OP, NEW.name, NEW.id, NEW.state, NEW.retry_count);
      ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO symphony_audit.change (op, queue, id, old_state, old_fence, worker)
        VALUES (TG_OP, OLD.name, OLD.id, OLD.state, OLD.retry_count, OLD.output ->> 'claimedBy');
      ELSIF (OLD.state, OLD.retry_count) IS DISTINCT FROM (NEW.state, NEW.retry_count) THEN
        INSERT INTO symphony_audit.change (op, queue, id, old_state, new_state, old_fence, new_fence, worker)
        VALUES (TG_OP, NEW.name, NEW.id, OLD.state, NEW.state, OLD.retry_count, NEW.retry_count,
          coalesce(NEW.output ->> 'claimedBy', OLD.output ->> 'claimedBy'));
      END IF;
      RETURN NULL;
    END $$;
  CREATE FUNCTION symphony_audit.record_bundle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO symphony_audit.change (op, queue, id, old_state, new_state, new_fence, worker)
        SELECT 'UPDATE', NEW.queue, id, 'created', 'active', fence, NEW.worker_id FROM unnest(NEW.ids, NEW.fences) AS u(id, fence);
      ELSE
        -- What was still in it, and is not any more.
        INSERT INTO symphony_audit.change (op, queue, id, old_state, old_fence, worker)
        SELECT 'DELETE', OLD.queue, id, 'active', fence, OLD.worker_id FROM unnest(OLD.ids, OLD.fences) WITH ORDINALITY AS u(id, fence, i)
        WHERE get_bit(OLD.gone, i::int - 1) = 0 AND (TG_OP = 'DELETE' OR get_bit(NEW.gone, i::int - 1) = 1);
      END IF;
      RETURN NULL;
    END $$;
  CREATE TRIGGER symphony_audit AFTER INSERT OR UPDATE OR DELETE ON ${schema}.messenger_bundle FOR EACH ROW EXECUTE FUNCTION symphony_audit.record_bundle();
  CREATE TRIGGER symphony_audit AFTER INSERT OR UPDATE OR DELETE ON ${schema}.job FOR EACH ROW EXECUTE FUNCTION symphony_audit.record();
  CREATE TABLE symphony_audit.worker (at timestamptz NOT NULL DEFAULT clock_timestamp(), id text NOT NULL, pid int NOT NULL);
  CREATE FUNCTION symphony_audit.register() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO symphony_audit.worker (id, pid) VALUES (NEW.worker_id, NEW.pid); RETURN NULL; END $$;
  CREATE TRIGGER symphony_audit AFTER INSERT ON ${schema}.messenger_worker FOR EACH ROW EXECUTE FUNCTION symphony_audit.register();
`;

/** After set-up; partitions that come later get the trigger too. */
export async function installAudit(database: Database, schema = "symphony"): Promise<void> {
  await database.query(installSql(schema));
}

/**
 * A message that leaves a bundle and is a row of its queue in the same transaction went from one to the other: it is given
 * back, or still in flight and nothing has happened to it.
 */
const CHANGES = `(
  SELECT c.*, CASE WHEN c.op = 'DELETE' AND c.old_state = 'active' THEN (
    SELECT i.new_state FROM symphony_audit.change i WHERE i.xact = c.xact AND i.id = c.id AND i.queue = c.queue AND i.op = 'INSERT') ELSE c.new_state END AS becomes
  FROM symphony_audit.change c WHERE NOT (c.op = 'INSERT' AND c.new_state = 'active')) AS changes`;
const NO_MOVE = "NOT (op = 'DELETE' AND coalesce(becomes, '') = 'active')";
const COLUMNS = `op, queue, id::text, old_state AS "oldState", becomes AS "newState", old_fence AS "oldFence", new_fence AS "newFence",
  worker, (extract(epoch FROM at) * 1000)::float8 AS at`;

/** Claims in the order in which they were made. */
export function readClaims(database: Database): Promise<Change[]> {
  return database.query<Change & Record<string, unknown>>(
    `SELECT ${COLUMNS} FROM ${CHANGES} WHERE becomes = 'active' AND ${NO_MOVE} ORDER BY seq`,
  );
}

export function readChanges(database: Database): Promise<Change[]> {
  return database.query<Change & Record<string, unknown>>(`SELECT ${COLUMNS} FROM ${CHANGES} WHERE ${NO_MOVE} ORDER BY seq`);
}

/** In order of time. */
export function readRegistrations(database: Database): Promise<Registration[]> {
  return database.query<Registration & Record<string, unknown>>(
    "SELECT pid, id, (extract(epoch FROM at) * 1000)::float8 AS at FROM symphony_audit.worker ORDER BY worker.at",
  );
}

/** Every accepted end of a delivery. A deletion beside an insertion of the same transaction is a move to the dead letters. */
export function readSettlements(database: Database): Promise<Settlement[]> {
  return database.query<Settlement & Record<string, unknown>>(`
    SELECT c.id::text, c.old_fence AS fence, (extract(epoch FROM c.at) * 1000)::float8 AS at,
      CASE
        WHEN c.becomes = 'retry' OR c.becomes = 'created' THEN 'returned'
        WHEN c.becomes = 'completed' THEN 'acknowledged'
        WHEN c.op = 'DELETE' AND NOT EXISTS (
          SELECT 1 FROM symphony_audit.change i WHERE i.xact = c.xact AND i.op = 'INSERT' AND i.id = c.id) THEN 'acknowledged'
        ELSE 'dead'
      END AS kind
    FROM (SELECT * FROM ${CHANGES} WHERE ${NO_MOVE}) c
    WHERE c.old_state = 'active' AND (c.op = 'DELETE' OR c.becomes <> 'active')
    ORDER BY c.seq`);
}
