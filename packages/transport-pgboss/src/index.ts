export { fromDrizzle, fromKnex, fromKysely, fromPrisma } from "pg-boss";
export type { AutoSetup, PgBossOptions, PgBossOptionsInput } from "./options.ts";
export { parsePgBossOptions } from "./options.ts";
export type { PgBossTransport } from "./pgboss-transport.ts";
export { FAST_PATH_SCHEMA_VERSION } from "./queues.ts";
export { createPgBossTransport, type PgBossTransportInput, transportFactory } from "./transport.ts";
