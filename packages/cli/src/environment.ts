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

function readSecret(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new ConfigError(`${name}_FILE names ${path}, which cannot be read: ${(cause as Error).message}`, { path: `${name}_FILE` }, cause);
  }
}

const nonEmpty = (text: string | undefined): string | undefined => (text === undefined || text === "" ? undefined : text);
