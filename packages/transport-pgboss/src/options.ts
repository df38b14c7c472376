import { boolean, integer, NAME_PATTERN, OptionsError, object, oneOf, type Parsed, parseOptions, string, unknownKey } from "@symphony/core";

/**
 * What `autoSetup` says. `true`: what is missing is made when the transport is created. `false`: it is an error.
 * `"defer"`: nothing is looked at before the first use, for the commands that set up or examine.
 */
export type AutoSetup = boolean | "defer";

const autoSetup = {
  parse: (value: unknown, path: string): AutoSetup => (value === "defer" ? "defer" : boolean({ default: true }).parse(value, path)),
};

const DAY_SECONDS = 86_400;
/** pg-boss keeps it in an int4 and adds an hour in places; 60 years are enough for a window. */
const MOST_SECONDS = 60 * 366 * DAY_SECONDS;

const optionsSchema = object({
  /** PostgreSQL schema of all tables. Lower case, since pg-boss writes it unquoted. */
  schema: string({ pattern: /^[a-z_][a-z0-9_]{0,39}$/, default: "symphony" }),
  /** Connections for sending, receiving and settling. Beats, LISTEN and transactions of handlers have their own, opened when needed; what was notified may be claimed on the one that listens. */
  poolSize: integer({ min: 1, max: 100, default: 3 }),
  autoSetup,
  /** Wake idle workers with NOTIFY. Without it they find messages by polling. */
  notify: boolean({ default: true }),
  /**
   * Durability of claims and acknowledgements. With "off" a crash of the server can undo acknowledgements that a living
   * worker has forgotten: their messages stay in flight until it ends. What is accepted is always durable, and a claim by `fewStatement` never is.
   */
  synchronousCommit: oneOf(["off", "local", "on"], { default: "on" }),
  /** "portable" uses nothing but pg-boss's public API; "auto" the fast statements where they are known to fit. */
  path: oneOf(["auto", "portable"], { default: "auto" }),
  /** For how long an idempotency key is remembered after its message ended. */
  idempotencyWindowSeconds: integer({ min: 1, max: MOST_SECONDS, default: DAY_SECONDS }),
  /** Holds the dead letters of all queues; no message can be sent to it. */
  deadLetterQueue: string({ pattern: NAME_PATTERN, default: "failed" }),
  /**
   * Milliseconds that a statement of ours may take before it counts as lost. With connecting anew and the first claim after
   * it, a connection that has become half-open costs less than the five seconds that are promised.
   */
  statementTimeoutMs: integer({ min: 100, max: 600_000, default: 4_000 }),
  connectTimeoutMs: integer({ min: 100, max: 600_000, default: 5_000 }),
  /**
   * Milliseconds that a statement of set-up waits for a lock before it makes way and tries anew. A longer wait holds up
   * everybody who comes after: the lock that a new partition needs shuts out all.
   */
  lockTimeoutMs: integer({ min: 10, max: 600_000, default: 2_000 }),
  /** Rows in one insert, at most. */
  coalesceMaxRows: integer({ min: 1, max: 10_000, default: 500 }),
  /** Milliseconds that a message waits for an insert that is on its way, before it is sent beside it. */
  coalesceMaxWaitMs: integer({ min: 0, max: 1_000, default: 2 }),
  /** Connections that refuse to change anything: for processes that only look. */
  readOnly: boolean({ default: false }),
  /** What `pg_stat_activity` shows. */
  applicationName: string({ default: "symphony" }),
});

export type PgBossOptions = Parsed<(typeof optionsSchema)["shape"]>;
export type PgBossOptionsInput = { readonly [Key in keyof PgBossOptions]?: PgBossOptions[Key] };

/** Where the database is. */
export type Target =
  | { readonly kind: "server"; readonly connectionString: string /** `options` of the DSN. */; readonly startup: string }
  | { readonly kind: "embedded"; readonly directory: string | undefined };

/** Parameters of the driver, which a DSN may hold as well. */
const DRIVER_PARAMETERS = new Set([
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "sslmode",
  "sslcert",
  "sslkey",
  "sslrootcert",
  "sslnegotiation",
  "uselibpqcompat",
  "client_encoding",
]);

/**
 * Parses a DSN and options into what the transport works with. Query parameters of the DSN are options too; those
 * given as options win.
 *
 * @param path - Prefix for errors, `transports.default`.
 * @throws {OptionsError} naming the option, also for unknown ones.
 */
export function parsePgBossOptions(
  dsn: string,
  given: Readonly<Record<string, unknown>>,
  path = "",
): { target: Target; options: PgBossOptions } {
  const [base, query] = splitOnce(dsn, "?");
  const own: Record<string, string> = {};
  const driver = new URLSearchParams();
  let startup = "";
  const where = path === "" ? "dsn" : `${path}.dsn`;
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === "options") startup = value;
    else if (key === "application_name") own.applicationName = value;
    else if (Object.hasOwn(optionsSchema.shape, key)) own[key] = value;
    else if (DRIVER_PARAMETERS.has(key)) driver.append(key, value);
    else throw unknownKey(where, key, [...Object.keys(optionsSchema.shape), ...DRIVER_PARAMETERS]);
  }
  const options = parseOptions(optionsSchema, { ...own, ...given }, path);
  const colon = base.indexOf(":");
  const scheme = base.slice(0, colon).toLowerCase();
  const rest = base.slice(colon + 1);
  if (scheme === "embedded") {
    if (driver.size > 0) throw new OptionsError(where, [...driver.keys()].join(", "), "cannot have driver parameters with embedded:");
    const directory = decodeURIComponent(rest.replace(/^\/\/(?=\/|$|\.)/, ""));
    return { target: { kind: "embedded", directory: directory === "" ? undefined : directory }, options };
  }
  if (!["postgres", "postgresql", "pgboss"].includes(scheme))
    throw new OptionsError(where, scheme, "must begin with postgres:, postgresql:, pgboss: or embedded:");
  const connectionString = `postgres:${rest}${driver.size > 0 ? `?${driver.toString()}` : ""}`;
  return { target: { kind: "server", connectionString, startup }, options };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
