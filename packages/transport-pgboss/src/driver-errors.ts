import { MessengerError, TransportError } from "@symphony/core";

/** Of Node: the server cannot be reached, or the connection broke. */
const NETWORK_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
]);

/**
 * Of PostgreSQL: it stops, starts, is overloaded, or is a standby. 57014 is our own statement_timeout, 55P03 a
 * lock_timeout, 25006 what a standby answers to a write after a failover; another moment or server will do it.
 */
const UNAVAILABLE_STATES = /^(08|53|57P0[1235]|57014|55P03|25006|25P03)/;

/** The driver has no codes for these. */
const UNAVAILABLE_TEXTS =
  /connection terminated|timeout exceeded when trying to connect|query read timeout|timeout expired|not queryable|connection error|server closed the connection|connection ended/i;

/** A table, column, function or schema that this code expects is not there. */
const MISSING_STATES = new Set(["42P01", "3F000", "42703", "42883", "42704"]);

/** Data that PostgreSQL refuses: another row would pass. 22: data exception, 23502/23514: constraints, 54: a limit of the server. */
const ROW_STATES = /^(22|54|23502|23514)/;

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
};
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Rolled back by PostgreSQL for the sake of another transaction: the same statement is right, a moment later. */
export const isTransient = (error: unknown): boolean => ["40001", "40P01"].includes(codeOf(error));

/** The fault lies in a row and not in the connection, the statement or the schema. */
export const isRowFault = (error: unknown): boolean => ROW_STATES.test(codeOf(error));

/**
 * Nothing was done, and a statement that takes more into account may do it: a row or a key is there, a queue is not or
 * has another table, or one row is at fault.
 */
export const isSurprise = (error: unknown): boolean => isTransient(error) || /^(22|23|54|42P01)/.test(codeOf(error));

/** A table or sequence is not there any more, or not ours to use. */
export const isForbidden = (error: unknown): boolean => ["42P01", "42501"].includes(codeOf(error));

/** The other end has not answered in time; the driver has no code for it. */
export const isSilence = (error: unknown): boolean => /query read timeout/i.test(textOf(error));

/** What a connection pooler answers to start-up parameters that it does not know. */
export const isStartupRefused = (error: unknown): boolean => /unsupported startup parameter/i.test(textOf(error));

function isUnavailable(error: unknown): boolean {
  const code = codeOf(error);
  return NETWORK_CODES.has(code) || UNAVAILABLE_STATES.test(code) || UNAVAILABLE_TEXTS.test(textOf(error));
}

/**
 * What callers see of an error of the driver, with the original as `cause`. An error of the library passes as it is.
 *
 * @param doing - What was tried, to read after "while": "sending 3 messages".
 */
export function toTransportError(error: unknown, doing: string): MessengerError {
  if (error instanceof MessengerError) return error;
  const state = codeOf(error);
  const details = state === "" ? {} : { sqlState: state };
  if (isUnavailable(error))
    return new TransportError("TRANSPORT_UNAVAILABLE", `PostgreSQL did not answer while ${doing}: ${textOf(error)}`, {
      cause: error,
      details,
    });
  if (MISSING_STATES.has(state))
    return new TransportError(
      "SCHEMA_VERSION_MISMATCH",
      `the database lacks what ${doing} needs (${textOf(error)}): run \`symphony setup\``,
      {
        cause: error,
        details,
      },
    );
  return new TransportError("TRANSPORT_FAILED", `PostgreSQL refused ${doing}: ${textOf(error)}`, { cause: error, details });
}
