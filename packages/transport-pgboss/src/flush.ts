import { type Statement, statement } from "./connection.ts";

/** A sequence whose value means nothing: to set it is the smallest change that a commit must bring to the disk. */
export const FLUSH_SEQUENCE = "messenger_flush";

/** Returns when every commit before it is as durable as the session asks for: their records come first in the log. */
export const flush = (schema: string): Statement => statement("flush", `SELECT setval('${schema}.${FLUSH_SEQUENCE}', 1)`);
