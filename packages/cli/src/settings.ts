import {
  boolean,
  integer,
  type OptionParser,
  OptionsError,
  oneOf,
  type QueueSelection,
  string,
  unknownKey,
  type WorkerConfig,
} from "@symphony/core";
import { LOG_LEVELS, type LogLevel } from "@symphony/telemetry";
import { type Environment, readVariable } from "./environment.ts";
import { UsageError } from "./exit-codes.ts";
import { maskDsn } from "./mask.ts";
import { megabytes, processCount, queues } from "./parsers.ts";

/** Where a value came from, strongest first. */
export type Source = "flag" | "environment" | "config" | "default";

export interface Setting<T = unknown> {
  readonly value: T | undefined;
  readonly source: Source;
  /** The flag, variable or key that set it; empty for a default. */
  readonly from: string;
}

interface Definition<T> {
  readonly environment?: string;
  readonly flag?: string;
  /** A flag that counts in seconds where environment and config count in milliseconds. */
  readonly flagInSeconds?: true;
  readonly config?: keyof WorkerConfig;
  readonly parser: OptionParser<T>;
  readonly default?: T;
  readonly secret?: true;
  /** No secret, and yet taken from the file that `NAME_FILE` names as well: what comes from one mounted secret stays together. */
  readonly file?: true;
  /** How the value is shown when it is a secret only in part. */
  readonly mask?: (value: string) => string;
}

const define = <T>(definition: Definition<T>): Definition<T> => definition;
const count = integer({ min: 1 });
const port = integer({ min: 0, max: 65_535 });
const text = string();
const milliseconds = integer({ min: 100, max: 600_000 });

/** Every setting, its names in all three places and its only default. Milliseconds where nothing else is said. */
export const SETTINGS = {
  databaseUrl: define<string>({ environment: "DATABASE_URL", parser: text, secret: true, mask: maskDsn }),
  databaseUsername: define<string>({ environment: "DATABASE_USERNAME", parser: text, file: true }),
  databasePassword: define<string>({ environment: "DATABASE_PASSWORD", parser: text, secret: true }),
  connectTimeout: define<number>({ environment: "SYMPHONY_DATABASE_CONNECT_TIMEOUT", parser: milliseconds }),
  statementTimeout: define<number>({ environment: "SYMPHONY_DATABASE_STATEMENT_TIMEOUT", parser: milliseconds }),
  lockTimeout: define<number>({ environment: "SYMPHONY_DATABASE_LOCK_TIMEOUT", parser: milliseconds }),
  messageTimeout: define<number>({ environment: "SYMPHONY_WORKER_MESSAGE_TIMEOUT", parser: integer({ min: 1, max: 86_400_000 }) }),
  batchSize: define<number>({
    environment: "SYMPHONY_WORKER_BATCH_SIZE",
    flag: "batch-size",
    config: "batchSize",
    parser: integer({ min: 1, max: 10_000 }),
    default: 10,
  }),
  maxConcurrency: define<number>({
    environment: "SYMPHONY_WORKER_MAX_CONCURRENCY",
    flag: "concurrency",
    config: "maxConcurrency",
    parser: integer({ min: 1, max: 10_000 }),
    default: 5,
  }),
  pollInterval: define<number>({
    environment: "SYMPHONY_WORKER_POLL_INTERVAL",
    flag: "poll-interval",
    config: "pollInterval",
    parser: integer({ min: 10, max: 3_600_000 }),
    default: 1_000,
  }),
  messageLimit: define<number>({ environment: "SYMPHONY_WORKER_MESSAGE_LIMIT", flag: "limit", config: "messageLimit", parser: count }),
  timeLimit: define<number>({
    environment: "SYMPHONY_WORKER_TIME_LIMIT",
    flag: "time-limit",
    flagInSeconds: true,
    config: "timeLimit",
    parser: count,
  }),
  /** MB */
  memoryLimit: define<number>({
    environment: "SYMPHONY_WORKER_MEMORY_LIMIT",
    flag: "memory-limit",
    config: "memoryLimit",
    parser: megabytes,
  }),
  /** Of what the container's memory limit leaves to each process. */
  memoryPercent: define<number>({
    environment: "SYMPHONY_WORKER_MEMORY_PERCENT",
    flag: "memory-percent",
    config: "memoryPercent",
    parser: integer({ min: 1, max: 100 }),
  }),
  failureLimit: define<number>({
    environment: "SYMPHONY_WORKER_FAILURE_LIMIT",
    flag: "failure-limit",
    config: "failureLimit",
    parser: count,
  }),
  recycleMessages: define<number>({
    environment: "SYMPHONY_WORKER_RECYCLE_MESSAGES",
    flag: "recycle-messages",
    config: "recycleMessages",
    parser: count,
  }),
  recycleTime: define<number>({
    environment: "SYMPHONY_WORKER_RECYCLE_TIME",
    flag: "recycle-time",
    flagInSeconds: true,
    config: "recycleTime",
    parser: count,
  }),
  processes: define<number | "auto">({
    environment: "SYMPHONY_WORKER_PROCESSES",
    flag: "processes",
    config: "processes",
    parser: processCount,
    default: "auto",
  }),
  threads: define<number>({
    environment: "SYMPHONY_WORKER_THREADS",
    flag: "threads",
    config: "threads",
    parser: integer({ min: 1, max: 256 }),
  }),
  /** The supervisor writes Kubernetes Events about its pod. */
  kubernetesEvents: define<boolean>({ environment: "SYMPHONY_KUBERNETES_EVENTS", parser: boolean({ default: false }), default: false }),
  queues: define<QueueSelection>({ environment: "SYMPHONY_WORKER_QUEUES", flag: "queues", config: "queues", parser: queues }),
  bus: define<string>({ environment: "SYMPHONY_WORKER_BUS", flag: "bus", config: "bus", parser: text }),
  resetEvery: define<number>({
    environment: "SYMPHONY_WORKER_RESET_EVERY",
    flag: "no-reset",
    config: "resetEvery",
    parser: integer({ min: 0 }),
    default: 1,
  }),
  /** Seconds, everywhere. */
  shutdownTimeout: define<number>({
    environment: "SYMPHONY_SHUTDOWN_TIMEOUT",
    flag: "shutdown-timeout",
    config: "shutdownTimeout",
    parser: integer({ min: 0, max: 86_400 }),
    default: 30,
  }),
  healthPort: define<number>({ environment: "SYMPHONY_HEALTH_PORT", flag: "health-port", parser: port, default: 8081 }),
  metricsToken: define<string>({ environment: "SYMPHONY_METRICS_TOKEN", parser: text, secret: true }),
  adminHost: define<string>({ environment: "SYMPHONY_ADMIN_HOST", flag: "host", parser: text, default: "127.0.0.1" }),
  adminPort: define<number>({ environment: "SYMPHONY_ADMIN_PORT", flag: "port", parser: port, default: 8080 }),
  trustedProxies: define<number>({ environment: "SYMPHONY_ADMIN_TRUSTED_PROXIES", parser: integer({ min: 0, max: 10 }) }),
  requestsPerMinute: define<number>({ environment: "SYMPHONY_ADMIN_REQUESTS_PER_MINUTE", parser: count }),
  failuresPerMinute: define<number>({ environment: "SYMPHONY_ADMIN_FAILURES_PER_MINUTE", parser: count }),
  authTokensFile: define<string>({ environment: "SYMPHONY_AUTH_TOKENS_FILE", parser: text }),
  authToken: define<string>({ environment: "SYMPHONY_AUTH_TOKEN", parser: text, secret: true }),
  authJwksUrl: define<string>({ environment: "SYMPHONY_AUTH_JWKS_URL", parser: text, file: true }),
  authIssuer: define<string>({ environment: "SYMPHONY_AUTH_ISSUER", parser: text, file: true }),
  authAudience: define<string>({ environment: "SYMPHONY_AUTH_AUDIENCE", parser: text, file: true }),
  authJwtSecret: define<string>({ environment: "SYMPHONY_AUTH_JWT_SECRET", parser: text, secret: true }),
  cronSecret: define<string>({ environment: "CRON_SECRET", parser: text, secret: true }),
  logLevel: define<LogLevel>({ environment: "SYMPHONY_LOG_LEVEL", flag: "v", parser: oneOf(LOG_LEVELS), default: "info" }),
} as const;

export type SettingName = keyof typeof SETTINGS;
type ValueOf<N extends SettingName> = (typeof SETTINGS)[N] extends Definition<infer T> ? T : never;
export type Settings = { readonly [N in SettingName]: Setting<ValueOf<N>> };

/** Values of flags by the flag's name without dashes; undefined when it was not given. */
export type Flags = Readonly<Record<string, unknown>>;

/**
 * Every setting with its value and where it came from: flags beat environment, environment beats config, config beats
 * defaults.
 *
 * @throws {UsageError} a flag has a bad value.
 * @throws {OptionsError} `OPTIONS_INVALID` a variable has one; the path is its name.
 */
export function resolveSettings(input: { flags?: Flags; environment?: Environment; config?: WorkerConfig }): Settings {
  const { flags = {}, environment = {}, config = {} } = input;
  const entries = Object.entries(SETTINGS).map(([name, definition]) => [
    name,
    resolveOne(definition as Definition<unknown>, flags, environment, config),
  ]);
  return Object.freeze(Object.fromEntries(entries)) as Settings;
}

function resolveOne(definition: Definition<unknown>, flags: Flags, environment: Environment, config: WorkerConfig): Setting {
  const flag = definition.flag === undefined ? undefined : flags[definition.flag];
  if (flag !== undefined) return { value: parseFlag(definition, flag), source: "flag", from: flagName(definition.flag ?? "") };
  const variable = definition.environment === undefined ? undefined : readFrom(environment, definition);
  if (variable !== undefined) return { value: parseVariable(definition, variable), source: "environment", from: variable.variable };
  const configured = definition.config === undefined ? undefined : config[definition.config];
  // parseConfig has checked it.
  if (configured !== undefined) return { value: configured, source: "config", from: `worker.${definition.config}` };
  return { value: definition.default, source: "default", from: "" };
}

const flagName = (flag: string): string => (flag.length === 1 ? `-${flag}` : `--${flag}`);

const hasFile = ({ secret, file }: Definition<unknown>): boolean => secret === true || file === true;

function readFrom(environment: Environment, definition: Definition<unknown>): ReturnType<typeof readVariable> {
  const found = readVariable(environment, definition.environment ?? "", { secret: hasFile(definition) });
  // Kubernetes announces a service named symphony-admin as SYMPHONY_ADMIN_PORT=tcp://…: not ours, and no reason to fail.
  return found !== undefined && definition.parser === port && found.value.startsWith("tcp://") ? undefined : found;
}

function parseVariable(definition: Definition<unknown>, { value, variable }: { value: string; variable: string }): unknown {
  try {
    return definition.parser.parse(value, variable);
  } catch (error) {
    if (definition.secret === true) throw new OptionsError(variable, undefined, "has a value that cannot be used");
    throw error;
  }
}

function parseFlag(definition: Definition<unknown>, value: unknown): unknown {
  const name = flagName(definition.flag ?? "");
  if (Array.isArray(value) && definition.parser !== queues) throw new UsageError(`${name} was given more than once`);
  try {
    if (definition.flagInSeconds !== true) return definition.parser.parse(value, name);
    const seconds = /^\d+(\.\d+)?$/.test(String(value)) ? Number(value) : Number.NaN;
    if (!(seconds > 0)) throw new OptionsError(name, value, "must be a number of seconds above 0");
    return definition.parser.parse(Math.ceil(seconds * 1_000), name);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** A setting as it may be shown. */
export function shown(name: SettingName, setting: Setting): unknown {
  const definition = SETTINGS[name] as Definition<unknown>;
  if (setting.value === undefined || definition.secret !== true) return setting.value;
  return definition.mask === undefined ? "***" : definition.mask(String(setting.value));
}

const KNOWN_VARIABLES = Object.values(SETTINGS).flatMap((definition) => {
  const { environment } = definition as Definition<unknown>;
  return environment === undefined ? [] : hasFile(definition as Definition<unknown>) ? [environment, `${environment}_FILE`] : [environment];
});

/** One sentence for each `SYMPHONY_…` variable that nobody reads and that looks like one of ours with a slip of the pen. */
export function unknownVariables(environment: Environment): readonly string[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith("SYMPHONY_") && !KNOWN_VARIABLES.includes(name))
    .map((name) => unknownKey("", name, KNOWN_VARIABLES).message)
    .filter((message) => message.includes("did you mean"))
    .map((message) => message.replace("is not an option", "is read by nobody"));
}
