import { readFileSync } from "node:fs";
import { ConfigError } from "@symphony/core";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A value of the environment and the variable that gave it, `NAME` or `NAME_FILE`. */
export interface FromEnvironment {
  readonly value: string;
  readonly variable: string;
}

/**
 * Reads `name`; a secret also from the file that `NAME_FILE` names (its trailing line break removed). Empty is unset, as
 * compose files and charts write a variable that has no value.
 *
 * @throws {ConfigError} `CONFIG_INVALID` when both are set and differ, or the file cannot be read.
 */
export function readVariable(environment: Environment, name: string, options: { secret?: boolean } = {}): FromEnvironment | undefined {
  const value = nonEmpty(environment[name]);
  const path = options.secret === true ? nonEmpty(environment[`${name}_FILE`]) : undefined;
  if (path === undefined) return value === undefined ? undefined : { value, variable: name };
  const inFile = readSecret(name, path);
  // The same in both is no contradiction: loadConfig puts the file's value where configuration files look for it.
  if (value !== undefined && value !== inFile) throw new ConfigError(`${name} and ${name}_FILE are both set: unset one`, { path: name });
  return { value: inFile, variable: `${name}_FILE` };
}

/**
 * The connection string: `DATABASE_URL`, with `DATABASE_USERNAME` and `DATABASE_PASSWORD` put into it where secrets are kept
 * apart from addresses.
 *
 * @throws {ConfigError} `CONFIG_INVALID` there is nothing to put them into, or it holds others.
 */
export function readDatabaseUrl(environment: Environment): FromEnvironment | undefined {
  const url = readVariable(environment, "DATABASE_URL", { secret: true });
  const username = readVariable(environment, "DATABASE_USERNAME", { secret: true });
  const password = readVariable(environment, "DATABASE_PASSWORD", { secret: true });
  const given = username ?? password;
  if (given === undefined) return url;
  const path = given.variable;
  // Greedy: a password may hold an @.
  const [, scheme, credentials = "", rest] = /^([a-z][a-z0-9+.-]*:\/\/)(?:(.*)@)?(.*)$/is.exec(url?.value ?? "") ?? [];
  if (url === undefined || scheme === undefined)
    throw new ConfigError(`${path} is set: DATABASE_URL must say where the database is`, { path });
  const [own = "", ownPassword = ""] = splitOnce(credentials, ":");
  const chosen = [pick(own, username), pick(ownPassword, password)];
  return { value: `${scheme}${chosen[0]}${chosen[1] === "" ? "" : `:${chosen[1]}`}@${rest}`, variable: url.variable };
}

/** @throws {ConfigError} the two differ. */
function pick(inUrl: string, given: FromEnvironment | undefined): string {
  if (given === undefined) return inUrl;
  const encoded = encodeURIComponent(given.value);
  if (inUrl !== "" && inUrl !== encoded) {
    const path = given.variable;
    throw new ConfigError(`${path} is set, and DATABASE_URL holds another: leave it out there, or unset ${path}`, { path });
  }
  return encoded;
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function readSecret(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new ConfigError(`${name}_FILE names ${path}, which cannot be read: ${(cause as Error).message}`, { path: `${name}_FILE` }, cause);
  }
}

const nonEmpty = (text: string | undefined): string | undefined => (text === undefined || text === "" ? undefined : text);
