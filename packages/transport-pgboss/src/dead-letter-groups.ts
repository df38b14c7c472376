import type { DeadLetterGroup, DeadLetterGroupFilter, DeadLetterGroups } from "@symphony/core";
import type { Database, Row } from "./connection.ts";
import { TIME, toFailure } from "./dead-letter-row.ts";
import { estimateOf, type Where, whereOf } from "./filter.ts";
import type { QueueDirectory } from "./queues.ts";

/** Fingerprints that are looked at. Bugs are few: more of them mean that messages have something in them that changes. */
const GROUPS = 1_000;
/** Rows that are counted, shared by the groups; what is beyond is estimated. Fifty thousand dead letters of a few bugs are counted exactly. */
const COUNTED = 60_000;
const FINGERPRINT = "t.source_output ->> 'fingerprint'";
/** Word for word the order of the index on fingerprint and time, so that no other index will do. */
const NEWEST = `${FINGERPRINT}, t.created_on DESC, t.id DESC`;
const OLDEST = `${FINGERPRINT} DESC, t.created_on, t.id`;

/** Groups dead letters by fingerprint, from its index: from one value to the next, never over all rows. */
export class DeadLetterGroupReader {
  readonly #database: Database;
  readonly #queues: QueueDirectory;
  readonly #schema: string;

  constructor(database: Database, queues: QueueDirectory, schema: string) {
    this.#database = database;
    this.#queues = queues;
    this.#schema = schema;
  }

  async read(filter: DeadLetterGroupFilter, limit: number): Promise<DeadLetterGroups> {
    const dead = await this.#queues.deadLetters();
    const table = `${this.#schema}.${dead.table}`;
    const { type, ...rest } = filter;
    const where = whereOf(dead.name, rest);
    const found = (await this.#run(fingerprintsOf(table), [])).map((row) => row[0] as string);
    const some = found.slice(0, GROUPS);
    const atMost = Math.ceil(COUNTED / Math.max(1, some.length));
    const named = await this.#run(groupsOf(table, where, atMost), [...where.values, some]);
    const nameless = await this.#run(namelessOf(table, where, atMost), where.values);
    const groups: DeadLetterGroup[] = [];
    for (const row of [...named, ...nameless]) {
      const group = toGroup(row);
      // The type is a part of the fingerprint: that of one is that of all.
      if (type !== undefined && group.type !== type) continue;
      groups.push(group.count > atMost ? await this.#estimated(table, dead.name, filter, group) : group);
    }
    groups.sort((a, b) => b.count - a.count);
    return { groups: groups.slice(0, limit), hasMore: groups.length > limit || found.length > GROUPS };
  }

  /** The planner keeps statistics of fingerprints, since there is an index on them. */
  async #estimated(table: string, queue: string, filter: DeadLetterGroupFilter, group: DeadLetterGroup): Promise<DeadLetterGroup> {
    const where = whereOf(queue, { ...filter, fingerprint: group.fingerprint });
    const rows = await estimateOf(table, where, (text, values) => this.#run(text, values));
    return { ...group, count: Math.max(group.count, rows), accuracy: "estimated" };
  }

  #run(text: string, values: readonly unknown[]): Promise<Row[]> {
    return this.#database.run({ name: "", text }, [...values], "grouping dead letters");
  }
}

/** Jumps from fingerprint to fingerprint: one look into the index each, however many rows have it. */
const fingerprintsOf = (table: string): string => `
  WITH RECURSIVE f(fingerprint) AS (
    (SELECT ${FINGERPRINT} FROM ${table} t WHERE ${FINGERPRINT} IS NOT NULL ORDER BY ${FINGERPRINT} LIMIT 1)
    UNION ALL
    SELECT (SELECT ${FINGERPRINT} FROM ${table} t WHERE ${FINGERPRINT} > f.fingerprint ORDER BY ${FINGERPRINT} LIMIT 1)
    FROM f WHERE f.fingerprint IS NOT NULL)
  SELECT fingerprint FROM f WHERE fingerprint IS NOT NULL LIMIT ${GROUPS + 1}`;

/** As a range: with "=" the order would not name the fingerprint any more, and an index without it would do. */
const groupsOf = (table: string, where: Where, atMost: number): string => {
  const one = `${FINGERPRINT} >= g.fingerprint AND ${FINGERPRINT} <= g.fingerprint`;
  return groups(`unnest($${where.values.length + 1}::text[])`, table, `${one} AND ${where.text}`, atMost);
};

/** Dead letters that pg-boss made by itself. */
const namelessOf = (table: string, where: Where, atMost: number): string =>
  groups("(VALUES (''::text))", table, `${FINGERPRINT} IS NULL AND ${where.text}`, atMost);

/** Newest, oldest and number of each group's rows, along the index of fingerprint and time. */
const groups = (names: string, table: string, condition: string, atMost: number): string => `
  SELECT g.fingerprint, c.count, last.id, last.source_name, last.type, last.source_output, last.source_retry_count, last.at, first.at
  FROM ${names} AS g(fingerprint)
    CROSS JOIN LATERAL (
      SELECT t.id::text, t.source_name, CASE WHEN jsonb_typeof(t.data) = 'object' THEN t.data ->> 'type' END AS type, t.source_output::text,
        t.source_retry_count, ${TIME} AS at
      FROM ${table} t WHERE ${condition} ORDER BY ${NEWEST} LIMIT 1) last
    CROSS JOIN LATERAL (SELECT ${TIME} AS at FROM ${table} t WHERE ${condition} ORDER BY ${OLDEST} LIMIT 1) first
    CROSS JOIN LATERAL (SELECT count(*)::int AS count FROM (SELECT 1 FROM ${table} t WHERE ${condition} ORDER BY ${NEWEST} LIMIT ${atMost + 1}) AS counted) c`;

function toGroup(row: Row): DeadLetterGroup {
  const [fingerprint, count, lastId, queue, type, failure, deliveries, lastFailedAt, firstFailedAt] = row as [
    string,
    number,
    string,
    string | null,
    string | null,
    string | null,
    number | null,
    string,
    string,
  ];
  const { reason, error } = toFailure(failure, deliveries ?? 0);
  return {
    fingerprint,
    count,
    accuracy: "exact",
    type,
    queue: queue ?? "",
    reason,
    error,
    firstFailedAt,
    lastFailedAt,
    lastId,
  };
}
