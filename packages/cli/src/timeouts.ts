import type { MessengerConfig } from "@symphony/core";
import type { Environment } from "./environment.ts";
import { withPostgresOptions } from "./postgres-options.ts";
import { resolveSettings } from "./settings.ts";

/**
 * The configuration with the timeouts that the environment sets for all of its databases and messages.
 *
 * @throws {OptionsError} `OPTIONS_INVALID` a variable has a bad value.
 */
export function placeTimeouts(config: MessengerConfig, environment: Environment): MessengerConfig {
  const { connectTimeout, statementTimeout, lockTimeout, messageTimeout } = resolveSettings({ environment });
  const options = {
    ...(connectTimeout.value === undefined ? {} : { connectTimeoutMs: connectTimeout.value }),
    ...(statementTimeout.value === undefined ? {} : { statementTimeoutMs: statementTimeout.value }),
    ...(lockTimeout.value === undefined ? {} : { lockTimeoutMs: lockTimeout.value }),
  };
  if (typeof config.transports !== "object" || config.transports === null) return config;
  const placed = Object.keys(options).length === 0 ? config : withPostgresOptions(config, options);
  return messageTimeout.value === undefined ? placed : { ...placed, defaults: { ...placed.defaults, timeoutMs: messageTimeout.value } };
}
