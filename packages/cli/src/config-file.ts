import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, type MessengerConfig, MessengerError, type ParsedConfig, parseConfig, schemeOf } from "@symphony/core";
import { type Environment, type FromEnvironment, readDatabaseUrl } from "./environment.ts";
import { codeOf } from "./exit-codes.ts";
import { placeTimeouts } from "./timeouts.ts";

const CONFIG_NAMES = ["symphony.config.ts", "symphony.config.js", "symphony.config.mjs"] as const;

const CREDENTIALS = ["DATABASE_USERNAME", "DATABASE_PASSWORD"].flatMap((name) => [name, `${name}_FILE`]);

export interface LoadOptions {
  /** Given: this file and no other. Default: the first of `CONFIG_NAMES` from `directory` upwards. */
  readonly file?: string;
  /** Default: the working directory. */
  readonly directory?: string;
  readonly environment?: Environment;
}

export interface LoadedConfig {
  /** Absolute; null when there is none and the defaults are used. */
  readonly file: string | null;
  /** What `createMessenger` takes: the file's default export, its `embedded:` DSNs made definite. */
  readonly config: MessengerConfig;
  readonly parsed: ParsedConfig;
  /** Transport → the variable that its DSN came from. */
  readonly replacedDsns: Readonly<Record<string, string>>;
  /** What relative things are relative to: the directory of a file that was found, else the working directory. */
  readonly home: string;
}

export function findConfigFile(from: string): string | null {
  for (const name of CONFIG_NAMES) {
    const path = join(from, name);
    if (existsSync(path)) return path;
  }
  return dirname(from) === from ? null : findConfigFile(dirname(from));
}

/**
 * Finds, imports and checks the configuration.
 *
 * `DATABASE_URL` takes the place of every DSN with the scheme `embedded:`. Without a file there is one transport,
 * `default`, on `DATABASE_URL` or else an embedded PostgreSQL.
 *
 * @throws {ConfigError} `CONFIG_INVALID` the file is missing, cannot be run, or exports no configuration.
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const directory = resolve(options.directory ?? ".");
  const environment = options.environment ?? process.env;
  const database = readDatabaseUrl(environment);
  // A config file reads `process.env.DATABASE_URL`, and the handlers' threads do: there it must be, file or not.
  if (database !== undefined && environment === process.env) announce(database);
  const file = options.file === undefined ? findConfigFile(directory) : given(resolve(directory, options.file));
  const exported = file === null ? { transports: { default: { dsn: "embedded:" } } } : await importConfig(file);
  const home = file === null || options.file !== undefined ? directory : dirname(file);
  const { config: placed, replaced } = placeEmbedded(exported, home, database?.value);
  const config = placeTimeouts(placed, environment);
  const replacedDsns = Object.fromEntries(replaced.map((name) => [name, database?.variable ?? ""]));
  return { file, config, parsed: check(config, file), replacedDsns, home };
}

function announce({ value }: FromEnvironment): void {
  process.env.DATABASE_URL = value;
  if (CREDENTIALS.every((name) => process.env[name] === undefined)) return;
  // They are in it now, and what it was made of would contradict it when it is read again.
  for (const name of [...CREDENTIALS, "DATABASE_URL_FILE"]) delete process.env[name];
}

function given(path: string): string {
  if (existsSync(path)) return path;
  throw new ConfigError(`the configuration file ${path} does not exist`, { path: "--config" });
}

async function importConfig(file: string): Promise<MessengerConfig> {
  let loaded: { default?: unknown };
  try {
    loaded = (await import(pathToFileURL(file).href)) as { default?: unknown };
  } catch (cause) {
    // An error of ours says by itself which field or name is wrong.
    const own = codeOf(cause) === "OPTIONS_INVALID" || codeOf(cause) === "CONFIG_INVALID";
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(own ? `${file}: ${message}` : `${file} cannot be loaded: ${message}${placeOf(cause)}`, { path: file }, cause);
  }
  const exported = await loaded.default;
  if (typeof exported === "object" && exported !== null) return exported as MessengerConfig;
  throw new ConfigError(`${file} must have a default export: export default defineConfig({ … })`, { path: file });
}

/** Where in user code it happened, for messages such as "Expression expected" that do not say it themselves. */
function placeOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const place =
    /^(file:\/\/.+:\d+)$/m.exec(stack)?.[1] ??
    /\((file:\/\/[^)]+)\)|at (file:\/\/\S+)/
      .exec(stack)
      ?.slice(1)
      .find((one) => one !== undefined);
  return place === undefined ? "" : ` (${place.replace(/^file:\/\//, "")})`;
}

/**
 * Says where what the configuration calls `embedded:` is: `url` if there is one, else below `home`. Not below the
 * working directory: a project has one database, also for who calls from one of its subdirectories.
 */
function placeEmbedded(
  config: MessengerConfig,
  home: string,
  url: string | undefined,
): { config: MessengerConfig; replaced: readonly string[] } {
  if (typeof config.transports !== "object" || config.transports === null) return { config, replaced: [] };
  const replaced: string[] = [];
  const transports = Object.entries(config.transports).map(([name, transport]) => {
    if (typeof transport?.dsn !== "string" || schemeOf(transport.dsn) !== "embedded") return [name, transport];
    if (url !== undefined) replaced.push(name);
    return [name, { ...transport, dsn: url ?? embeddedDsn(transport.dsn, home) }];
  });
  return { config: { ...config, transports: Object.fromEntries(transports) }, replaced };
}

/** Where the embedded PostgreSQL of a project keeps its data. */
export const embeddedDirectory = (home: string): string => join(home, ".symphony", "postgres");

function embeddedDsn(dsn: string, home: string): string {
  const [, path = "", query = ""] = /^embedded:([^?]*)(\?.*)?$/is.exec(dsn) ?? [];
  if (path !== "") return dsn;
  return `embedded:${embeddedDirectory(home).split("/").map(encodeURIComponent).join("/")}${query}`;
}

function check(config: MessengerConfig, file: string | null): ParsedConfig {
  try {
    return parseConfig(config);
  } catch (error) {
    if (!(error instanceof MessengerError) || file === null) throw error;
    throw new ConfigError(`${file}: ${error.message}`, error.details, error);
  }
}
