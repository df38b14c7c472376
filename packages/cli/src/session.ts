import { createMessenger, type Messenger, type MessengerConfig, type Transport } from "@symphony/core";
import { createLogger, type SymphonyLogger } from "@symphony/telemetry";
import { type LoadedConfig, loadConfig } from "./config-file.ts";
import { UsageError } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { withPostgresOptions } from "./postgres-options.ts";
import { parseAddress, type RemoteAddress } from "./remote/admin-client.ts";
import { openRemote } from "./remote/remote-messenger.ts";
import { type Flags, resolveSettings, type Settings } from "./settings.ts";

/** Flags that every command has. */
export interface GlobalFlags {
  readonly config?: string | undefined;
  readonly json?: boolean | undefined;
  readonly verbose?: number | undefined;
  /** Of an admin API to work through, instead of the database. */
  readonly url?: string | undefined;
}

/** The configuration of one command. */
export interface Session {
  readonly loaded: LoadedConfig;
  readonly settings: Settings;
  readonly remote?: RemoteAddress;
}

export async function openSession(io: Io, global: GlobalFlags, flags: Flags = {}): Promise<Session> {
  const loaded = await loadConfig({
    directory: io.directory,
    environment: io.environment,
    ...(global.config === undefined ? {} : { file: global.config }),
  });
  const level = (global.verbose ?? 0) > 1 ? "trace" : (global.verbose ?? 0) > 0 ? "debug" : undefined;
  const settings = resolveSettings({ flags: { ...flags, v: level }, environment: io.environment, config: loaded.parsed.worker });
  return { loaded, settings, ...(global.url === undefined ? {} : { remote: parseAddress(global.url, io.environment) }) };
}

/** For commands that print results: warnings and worse, on standard error; more with `-v`. */
export function commandLogger(session: Session): SymphonyLogger {
  const { logLevel } = session.settings;
  const level = logLevel.source === "default" ? "warn" : logLevel.value;
  return createLogger({ destination: 2, sync: true, ...(level === undefined ? {} : { level }) });
}

/** The configuration with transports that create nothing by themselves: for who sets up, or only wants to look. */
export const withoutAutoSetup = (config: MessengerConfig): MessengerConfig => withPostgresOptions(config, { autoSetup: "defer" });

/** Runs `work` with a connected messenger and closes it, whatever happens. */
export async function withMessenger<T>(
  session: Session,
  work: (messenger: Messenger) => Promise<T>,
  config: MessengerConfig = session.loaded.config,
): Promise<T> {
  const logger = commandLogger(session);
  const messenger = await (session.remote === undefined ? createMessenger(config, { logger }) : openRemote(session.remote, logger));
  try {
    return await work(messenger);
  } finally {
    await messenger.close();
  }
}

/**
 * The transports a command is about, by name: those that were named, else all.
 *
 * @throws {UsageError} a name is not configured.
 */
export function chosenTransports(messenger: Messenger, named: readonly string[] = []): readonly (readonly [string, Transport])[] {
  const known = messenger.transportNames;
  for (const name of named) {
    if (!known.includes(name)) throw new UsageError(`no transport "${name}"; configured: ${known.join(", ")}`);
  }
  return (named.length === 0 ? known : [...new Set(named)]).map((name) => [name, messenger.transport(name)] as const);
}
