export { type AcquireOptions, acquire, type EmbeddedPostgres } from "./acquire.ts";
export { EmbeddedPostgresError } from "./errors.ts";
