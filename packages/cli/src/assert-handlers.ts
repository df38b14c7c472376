import { ConfigError, type HandlerDescriptor } from "@symphony/core";

/**
 * Without handlers every message would be given up on: that is never what somebody wants of a worker.
 *
 * @returns the configuration's file.
 * @throws {ConfigError} `CONFIG_INVALID`
 */
export function assertHandlers(file: string | null, handlers: readonly HandlerDescriptor[]): string {
  const why = "a worker without handlers would give up on every message";
  if (file === null) throw new ConfigError(`there is no symphony.config.ts, .js or .mjs here or above: ${why}`);
  if (handlers.length === 0) throw new ConfigError(`${file}: config.handlers is empty: ${why}`, { path: "config.handlers" });
  return file;
}
