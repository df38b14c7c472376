import { type MessengerConfig, schemeOf } from "@symphony/core";

const POSTGRES = ["postgres", "postgresql", "pgboss", "embedded"];

export const isPostgres = (dsn: string): boolean => POSTGRES.includes(schemeOf(dsn));

/** The configuration with other options of its PostgreSQL transports. */
export function withPostgresOptions(config: MessengerConfig, options: Readonly<Record<string, unknown>>): MessengerConfig {
  const transports = Object.entries(config.transports).map(([name, transport]) => [
    name,
    isPostgres(transport.dsn) ? { ...transport, options: { ...transport.options, ...options } } : transport,
  ]);
  return { ...config, transports: Object.fromEntries(transports) };
}
