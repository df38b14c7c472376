export type { AutoSetup, PgBossOptions, PgBossOptionsInput } from "./options.ts";
export { parsePgBossOptions } from "./options.ts";
export { FAST_PATH_SCHEMA_VERSION } from "./queues.ts";
export { createPgBossTransport, type PgBossTransport, type PgBossTransportInput, transportFactory } from "./transport.ts";
