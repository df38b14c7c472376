import type { Runtime } from "./clock.ts";
import { ConfigError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Serializer } from "./serializer.ts";
import type { Transport } from "./transport.ts";

/** Everything a factory gets; options are the transport's own to parse. */
export interface TransportInput {
  readonly name: string;
  readonly dsn: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly serializer: Serializer;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Queues that message types and configuration name; what `setUp` makes. */
  readonly queues: readonly string[];
  /** Those among them whose messages may have a partition or deduplication key; what such keys need costs others nothing. */
  readonly keyedQueues?: readonly string[];
}

/** Makes transports for some DSN schemes. Construction does no I/O beyond what `create` needs to be usable. */
export interface TransportFactory {
  /** Without the colon: `["postgres", "postgresql"]`. */
  readonly schemes: readonly string[];
  create(input: TransportInput): Promise<Transport>;
  /** Throws what `create` would throw of the DSN and the options; connects to nothing. */
  check?(input: Pick<TransportInput, "name" | "dsn" | "options">): void;
}

/**
 * Which package makes transports for a scheme, when the program did not pass a factory. Core does not depend on them:
 * their `/factory` is loaded when a configuration names their scheme, as an ORM loads the driver its URL names.
 */
const PACKAGES: Readonly<Record<string, string>> = {
  postgres: "@symphony/transport-pgboss",
  postgresql: "@symphony/transport-pgboss",
  pgboss: "@symphony/transport-pgboss",
  embedded: "@symphony/transport-pgboss",
};

export function schemeOf(dsn: string): string {
  return /^([a-z][a-z0-9+.-]*):/i.exec(dsn)?.[1]?.toLowerCase() ?? "";
}

/**
 * The factory for a DSN: one of `given`, else the export `transportFactory` of the package known for the scheme.
 *
 * @throws {ConfigError} `CONFIG_INVALID` when nobody makes transports for the scheme or its package is not installed.
 */
export async function findFactory(name: string, dsn: string, given: readonly TransportFactory[]): Promise<TransportFactory> {
  const scheme = schemeOf(dsn);
  const match = given.find((factory) => factory.schemes.includes(scheme));
  if (match !== undefined) return match;
  const packageName = PACKAGES[scheme];
  if (packageName === undefined) {
    const known = [...new Set([...given.flatMap((factory) => factory.schemes), ...Object.keys(PACKAGES)])];
    throw new ConfigError(`config.transports.${name}.dsn has the scheme "${scheme}"; known: ${known.join(", ")}`, { transport: name });
  }
  return loadFactory(name, scheme, packageName);
}

async function loadFactory(name: string, scheme: string, packageName: string): Promise<TransportFactory> {
  let loaded: { transportFactory?: TransportFactory };
  try {
    loaded = (await import(`${packageName}/factory`)) as { transportFactory?: TransportFactory };
  } catch (cause) {
    throw new ConfigError(
      `config.transports.${name}.dsn needs the package ${packageName} for "${scheme}:"; npm install ${packageName}`,
      { transport: name },
      cause,
    );
  }
  if (loaded.transportFactory === undefined)
    throw new ConfigError(`${packageName}/factory exports no transportFactory`, { transport: name });
  return loaded.transportFactory;
}
