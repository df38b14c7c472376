import { type Statement, statement } from "./connection.ts";

/** A sequence whose value means nothing: to set it is the smallest change that a commit must bring to the disk. */
export const FLUSH_SEQUENCE = "messenger_flush";

/** Returns when every commit before it is as durable as the session asks for: their records come first in the log. */
export const flush = (schema: string): Statement => statement("flush", `SELECT setval('${schema}.${FLUSH_SEQUENCE}', 1)`);

/** The same by a message to logical decoding, which others would have to read: for the one time until it is known that the sequence is not there. */
export const FLUSH_WITHOUT_SEQUENCE: Statement = statement("flush", "SELECT pg_logical_emit_message(true, 'symphony', '')");
