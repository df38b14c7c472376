import { ConfigError } from "@symphony/core";

/** A PostgreSQL that somebody started for us. */
export interface EmbeddedServer {
  readonly connectionString: string;
  readonly release: () => Promise<void>;
}

/**
 * Starts or joins the embedded PostgreSQL. Loaded only here: who has a server of their own need not install it.
 *
 * @throws {ConfigError} when its package is not installed.
 */
export async function acquireEmbedded(directory: string | undefined): Promise<EmbeddedServer> {
  const { acquire } = await load();
  const server = await acquire(directory === undefined ? {} : { directory });
  return { connectionString: server.connectionString, release: () => server.release() };
}

async function load(): Promise<typeof import("@symphony/embedded-postgres")> {
  try {
    return await import("@symphony/embedded-postgres");
  } catch (cause) {
    throw new ConfigError("a DSN of the scheme embedded: needs the package @symphony/embedded-postgres; npm install it", {}, cause);
  }
}
