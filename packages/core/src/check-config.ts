import { type MessengerConfig, type ParsedConfig, parseConfig } from "./config.ts";
import { HandlerRegistry } from "./handlers.ts";
import { MessageRegistry } from "./message.ts";
import { findFactory, schemeOf, type TransportFactory } from "./transport-factory.ts";
import { memoryTransportFactory } from "./transports/memory.ts";

/**
 * Checks what of a configuration can be known without connecting to anything: its fields, that its types and handlers do
 * not contradict each other, and the DSN and options of every transport whose factory can tell.
 *
 * @param factories - Beside the built-in ones, as for `createMessenger`.
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 * @throws {ConfigError} `CONFIG_INVALID`
 */
export async function checkConfig(config: MessengerConfig, factories: readonly TransportFactory[] = []): Promise<ParsedConfig> {
  const parsed = parseConfig(config);
  new MessageRegistry(parsed.messages);
  new HandlerRegistry(parsed.handlers);
  for (const [name, { dsn, options }] of Object.entries(parsed.transports)) {
    if (schemeOf(dsn) === "sync") continue;
    const factory = await findFactory(name, dsn, [...factories, memoryTransportFactory]);
    factory.check?.({ name, dsn, options });
  }
  return parsed;
}
