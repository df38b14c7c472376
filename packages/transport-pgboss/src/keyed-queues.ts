import type { IndexLayout } from "./index-layout.ts";

/**
 * What partition and deduplication keys need in the database: indexes and triggers on the partitions of those queues that
 * have such messages, and on no other.
 *
 * A partition key is in `group_id`, a deduplication key in `group_tier`; pg-boss makes something of either only for
 * workers that ask for a concurrency by group. The order of a key is in `source_created_on`, which is otherwise only set
 * on dead letters.
 *
 * The rule, kept whoever claims, pg-boss's own workers included: a message is started only when no message of its key
 * that was sent before it, and none that has been started, is unfinished. Waiting, put off, delayed, in flight: all that
 * is unfinished. A message that is found behind another one is taken out of the fetch index (`blocked`), so that no claim
 * meets it again before its turn; whoever ends a message lets the next one of its key in, in the same commit.
 */
export const KEYED_INDEXES: readonly IndexLayout[] = [
  // One unfinished message per deduplication key.
  { suffix: "_k1", on: "(group_tier) WHERE group_tier IS NOT NULL AND state < 'completed'", isUnique: true },
  // The line of each partition key.
  { suffix: "_k2", on: "(group_id, source_created_on) WHERE group_id IS NOT NULL AND state < 'completed'" },
  // Those that were started, of which each key has one at most.
  { suffix: "_k3", on: "(group_id) WHERE group_id IS NOT NULL AND started_on IS NOT NULL AND state < 'completed'" },
];

/** The trigger by which it is known that a queue is prepared; set-up makes it last. */
export const KEYED_TRIGGER = "messenger_start";

/** Claims at the same moment that hold one of these locks for a key; few enough for the server's lock table. */
const LOCKS = 1024;

const UNFINISHED = "o.group_id = OLD.group_id AND o.state < 'completed'";

/** All in one statement of the simple protocol, which is one transaction. */
export function keyedTriggers(schema: string, name: string): string {
  const table = `${schema}.${name}`;
  const [enter, start, leave] = ["_f1", "_f2", "_f3"].map((suffix) => `${schema}.${name}${suffix}`) as [string, string, string];
  const trigger = (called: string, when: string, runs: string): string =>
    `DROP TRIGGER IF EXISTS ${called} ON ${table};
CREATE TRIGGER ${called} ${when} EXECUTE FUNCTION ${runs}();`;
  return [
    `CREATE OR REPLACE FUNCTION ${enter}() RETURNS trigger LANGUAGE plpgsql AS $$${enterBody(table)}$$;`,
    `CREATE OR REPLACE FUNCTION ${start}() RETURNS trigger LANGUAGE plpgsql AS $$${startBody(table)}$$;`,
    `CREATE OR REPLACE FUNCTION ${leave}() RETURNS trigger LANGUAGE plpgsql AS $$${leaveBody(table)}$$;`,
    trigger("messenger_enter", `BEFORE INSERT ON ${table} FOR EACH ROW WHEN (NEW.group_id IS NOT NULL)`, enter),
    trigger(
      "messenger_return",
      `BEFORE UPDATE ON ${table} FOR EACH ROW WHEN (NEW.group_id IS NOT NULL AND OLD.state >= 'completed' AND NEW.state < 'completed')`,
      enter,
    ),
    trigger("messenger_leave", `AFTER DELETE ON ${table} FOR EACH ROW WHEN (OLD.group_id IS NOT NULL AND OLD.state < 'completed')`, leave),
    trigger(
      "messenger_finish",
      `AFTER UPDATE ON ${table} FOR EACH ROW WHEN (OLD.group_id IS NOT NULL AND OLD.state < 'completed' AND NEW.state >= 'completed')`,
      leave,
    ),
    trigger(
      KEYED_TRIGGER,
      `BEFORE UPDATE ON ${table} FOR EACH ROW WHEN (OLD.group_id IS NOT NULL AND OLD.state < 'active' AND NEW.state = 'active')`,
      start,
    ),
  ].join("\n");
}

/** To the end of the line: behind every one that is there, also when the clock went back or two came in one microsecond. */
const enterBody = (table: string): string => `
BEGIN
  NEW.blocked := false;
  NEW.source_created_on := GREATEST(clock_timestamp(), (SELECT o.source_created_on + interval '1 us' FROM ${table} o
    WHERE o.group_id = NEW.group_id AND o.state < 'completed' ORDER BY o.source_created_on DESC LIMIT 1));
  RETURN NEW;
END`;

/**
 * Lets a claim have the row, or not (NULL: the row stays as it is).
 *
 * The lock: of two claims that look at two messages of a key, one must see what the other one did. It is never waited
 * for, so that a claim cannot be part of a deadlock. Each query here sees what was committed until now, not what the
 * claim's own snapshot holds.
 *
 * A row is taken out only while the one before it is held in place by a share lock: then whoever ends that one waits for
 * this claim, and sees that there is somebody to let in. One that is just ending cannot be held: the row stays where it
 * is, for the next claim.
 */
const startBody = (table: string): string => `
DECLARE
  ahead uuid;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext(TG_TABLE_NAME), hashtext(OLD.group_id) & ${LOCKS - 1}) THEN
    RETURN NULL;
  END IF;
  SELECT o.id INTO ahead FROM ${table} o WHERE ${UNFINISHED} AND o.started_on IS NOT NULL AND o.id <> OLD.id LIMIT 1;
  IF NOT FOUND AND OLD.started_on IS NULL THEN
    SELECT o.id INTO ahead FROM ${table} o WHERE ${UNFINISHED} AND o.source_created_on < OLD.source_created_on ORDER BY o.source_created_on LIMIT 1;
  END IF;
  IF ahead IS NULL THEN
    RETURN NEW;
  END IF;
  PERFORM 1 FROM ${table} o WHERE o.name = OLD.name AND o.id = ahead AND o.state < 'completed' FOR SHARE SKIP LOCKED;
  IF FOUND THEN
    UPDATE ${table} o SET blocked = true WHERE o.name = OLD.name AND o.id = OLD.id;
  END IF;
  RETURN NULL;
END`;

/**
 * Lets in the first of the line. Looks again when that one was removed at the same moment. What is held back since its
 * type is paused stays so.
 */
const leaveBody = (table: string): string => `
DECLARE
  first record;
BEGIN
  LOOP
    SELECT o.name, o.id, o.blocked, o.output INTO first FROM ${table} o WHERE ${UNFINISHED} ORDER BY o.source_created_on LIMIT 1;
    EXIT WHEN NOT FOUND OR NOT first.blocked OR coalesce(first.output ? 'paused', false);
    UPDATE ${table} o SET blocked = false WHERE o.name = first.name AND o.id = first.id AND o.blocked;
    EXIT WHEN FOUND;
  END LOOP;
  RETURN NULL;
END`;
