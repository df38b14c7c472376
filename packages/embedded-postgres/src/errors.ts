/** The PostgreSQL of this directory could not be started or reached. The message names the directory and quotes the log. */
export class EmbeddedPostgresError extends Error {
  readonly code = "EMBEDDED_POSTGRES_FAILED";

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "EmbeddedPostgresError";
  }
}
