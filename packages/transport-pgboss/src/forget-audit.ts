import { AUDIT_DAYS } from "@symphony/core";
import { AUDIT_TABLE } from "./statements.ts";

/** Records that one call forgets: short transactions. */
const FORGOTTEN = 5_000;

export const FORGET_AUDIT = "messenger_forget_audit";

/** As a statement that tells how many it has forgotten. The oldest come first in the key: it reads no more than it deletes. */
const forgetting = (
  schema: string,
): string => `WITH old AS (SELECT t.ctid, t.at FROM ${schema}.${AUDIT_TABLE} t ORDER BY t.id LIMIT ${FORGOTTEN}),
  gone AS (DELETE FROM ${schema}.${AUDIT_TABLE} t USING old WHERE t.ctid = old.ctid AND old.at < now() - interval '${AUDIT_DAYS} days' RETURNING 1)
  SELECT count(*) FROM gone`;

/**
 * Forgets records of actions when their days are over, and no others, in the name of the table's owner: a role that may
 * not delete records can call it all the same.
 */
export const forgetAuditFunction = (schema: string): string =>
  `CREATE OR REPLACE FUNCTION ${schema}.${FORGET_AUDIT}() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  ${forgetting(schema)}
$$`;

export const forgetAudit = (schema: string): { readonly lookUp: string; readonly byFunction: string; readonly directly: string } => ({
  lookUp: `SELECT to_regprocedure('${schema}.${FORGET_AUDIT}()') IS NOT NULL`,
  byFunction: `SELECT ${schema}.${FORGET_AUDIT}()::int`,
  // Before the next set-up, or where there are no such functions.
  directly: forgetting(schema).replace("count(*)", "count(*)::int"),
});
