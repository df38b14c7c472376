/** The trigger by which it is known that rows of a queue need not name the queue of their dead letters. */
export const FAILED_TRIGGER = "messenger_failed";

/**
 * Names the queue of dead letters in a row that comes in as `failed`: pg-boss takes what its own tools give up out of the
 * table and puts it in again, and only then does anybody read it. In a row that is sent it would cost a look-up for its
 * foreign key, which a thousand messages in one call feel by a quarter of their time.
 *
 * All in one statement of the simple protocol, which is one transaction. Its lock waits for whoever has written to the
 * queue in a transaction that is still open, and everybody else waits behind it: set-up bounds that (`lock_timeout`).
 */
export function failedTrigger(schema: string, name: string): string {
  const table = `${schema}.${name}`;
  return `CREATE OR REPLACE FUNCTION ${schema}.${FAILED_TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT q.dead_letter INTO NEW.dead_letter FROM ${schema}.queue q WHERE q.name = NEW.name;
  RETURN NEW;
END$$;
DROP TRIGGER IF EXISTS ${FAILED_TRIGGER} ON ${table};
CREATE TRIGGER ${FAILED_TRIGGER} BEFORE INSERT ON ${table}
FOR EACH ROW WHEN (NEW.state = 'failed' AND NEW.dead_letter IS NULL) EXECUTE FUNCTION ${schema}.${FAILED_TRIGGER}();`;
}
