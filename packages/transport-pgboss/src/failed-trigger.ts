/** The trigger by which it is known that rows of a queue need not name the queue of their dead letters. */
export const FAILED_TRIGGER = "messenger_failed";

/**
 * Names the queue of dead letters in a row at the moment when it becomes `failed`, as pg-boss makes it of what its own
 * tools give up; only then does anybody read it. In a row that is sent it would cost a look-up for its foreign key, which
 * a thousand messages in one call feel by a quarter of their time.
 *
 * All in one statement of the simple protocol, which is one transaction.
 */
export function failedTrigger(schema: string, name: string): string {
  const table = `${schema}.${name}`;
  return `CREATE OR REPLACE FUNCTION ${schema}.${FAILED_TRIGGER}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT q.dead_letter INTO NEW.dead_letter FROM ${schema}.queue q WHERE q.name = NEW.name;
  RETURN NEW;
END$$;
DROP TRIGGER IF EXISTS ${FAILED_TRIGGER} ON ${table};
CREATE TRIGGER ${FAILED_TRIGGER} BEFORE INSERT OR UPDATE OF state ON ${table}
FOR EACH ROW WHEN (NEW.state = 'failed' AND NEW.dead_letter IS NULL) EXECUTE FUNCTION ${schema}.${FAILED_TRIGGER}();`;
}
