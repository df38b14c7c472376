import { DEFAULT_PRIORITY } from "./row-codec.ts";

/** Above and below all priorities that there are: int4. */
const ABOVE_ALL = 2 ** 31;
const BELOW_ALL = -ABOVE_ALL - 1;

/** Transactions that run while the statement does. */
const RUNNING = "ARRAY (SELECT x::xid FROM pg_snapshot_xip(pg_current_snapshot()) AS x)";

/** A priority, and a time among its rows; SQL, null without a head. */
interface HeadColumns {
  readonly priority: string;
  readonly time: string;
  /** Rows with the mark of a running transaction are not even tried. */
  readonly passesMarked: boolean;
}

/** Of queue k of a claim: see `claimStatement`. It has none unless it is the last one to claim from. */
export const headOfQueue = (k: number, passesMarked: boolean): HeadColumns => ({
  priority: `(CASE WHEN $9 = ${k + 1} THEN $10::int END)`,
  time: "('epoch'::timestamptz + $11::float8 * interval '1 us')",
  passesMarked,
});

/**
 * Ready rows of one queue, the most urgent first, each locked.
 *
 * Walks from priority to priority (few exist) and reads each one's rows up to now. Rows for later have their time in
 * `created_on` too, so they lie behind that limit in the index and cost nothing, however many they are; one range over
 * all priorities would have to step over them.
 *
 * With a head: from there on, and nothing of a lower priority, for there may be something before it that comes first. To
 * look for the highest priority is to step over all claimed rows of it, so it is looked for only `above` an expected one;
 * when that is reached, `above` is null. Both looks are one subquery: of many queues, planning costs most.
 *
 * From a head on, a row that has the mark of a running transaction may be left without a try: mostly it is one that the
 * claim beside has locked, and to be refused a lock costs more than to get one. If that is undone meanwhile, a look from
 * the beginning finds the row.
 */
export function ready(
  table: string,
  name: string,
  columns: string,
  limit: string,
  o: { readonly lock?: string; readonly head?: HeadColumns; readonly unless?: string } = {},
): string {
  const { lock = "FOR UPDATE SKIP LOCKED", head, unless } = o;
  const waiting = `name = ${name} AND state < 'active' AND NOT blocked`;
  const next = (above: string): string =>
    `(SELECT n.priority FROM ${table} n WHERE ${waiting} AND n.priority < p.priority${above} ORDER BY n.priority DESC LIMIT 1)`;
  const walk =
    head === undefined
      ? `p(priority) AS (SELECT ${ABOVE_ALL} UNION ALL SELECT ${next("")} FROM p WHERE p.priority IS NOT NULL)`
      : `p(priority, above) AS (
           SELECT ${ABOVE_ALL}, coalesce(${head.priority}, ${DEFAULT_PRIORITY})
           UNION ALL
           SELECT coalesce(f.found, p.above), CASE WHEN f.found IS NOT NULL THEN p.above END
           FROM p CROSS JOIN LATERAL (SELECT ${next(` AND n.priority > coalesce(p.above, ${BELOW_ALL})`)} AS found OFFSET 0) f
           WHERE p.priority IS NOT NULL AND p.priority IS DISTINCT FROM ${head.priority})`;
  const since =
    head === undefined ? "" : ` AND created_on >= CASE WHEN p.priority = ${head.priority} THEN ${head.time} ELSE '-infinity' END`;
  const marked =
    head?.passesMarked === true
      ? ` AND (p.priority IS DISTINCT FROM ${head.priority} OR t.xmax = '0'::xid OR t.xmax <> ALL (${RUNNING}))`
      : "";
  return `WITH RECURSIVE ${walk}
         SELECT r.* FROM p CROSS JOIN LATERAL (
           SELECT ${columns} FROM ${table} t
           WHERE ${waiting} AND t.priority = p.priority${since}${marked} AND created_on <= now() AND start_after <= now()
           ORDER BY created_on LIMIT ${limit} ${lock}) r
         WHERE p.priority IS NOT NULL${unless === undefined ? "" : ` AND NOT ${unless}`} LIMIT ${limit}`;
}
