/**
 * Every message, wherever it is: rows of pg-boss's table, and what travels in bundles, as rows in state "active". For a
 * FROM clause: `id, name, state, data, priority, retry_count, worker`.
 */
export const allMessages = (schema = "symphony"): string => `(
  SELECT id, name, state::text AS state, data, priority, retry_count, output ->> 'claimedBy' AS worker FROM ${schema}.job WHERE name NOT LIKE '\\_\\_pgboss%'
  UNION ALL
  SELECT u.id, b.queue, 'active', u.record::jsonb, u.priority, u.fence, b.worker_id
  FROM ${schema}.messenger_bundle b CROSS JOIN LATERAL unnest(b.ids, b.fences, b.priorities, string_to_array(b.records, E'\\n'))
    WITH ORDINALITY AS u(id, fence, priority, record, i)
  WHERE get_bit(b.gone, u.i::int - 1) = 0) AS message`;

/** Those that nobody has finished with: they wait, are put off, or are in flight. */
export const UNFINISHED = "state IN ('created', 'retry', 'active') AND name <> 'failed'";
