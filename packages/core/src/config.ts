import { OptionsError } from "./errors.ts";
import type { HandlerDescriptor } from "./handlers.ts";
import { type AnyMessageType, NAME_PATTERN, parseRetry, type RetryOptions } from "./message.ts";
import type { Middleware } from "./middleware/chain.ts";
import { anything, boolean, integer, listOf, object, optional, parseOptions, record, string } from "./options.ts";
import { type QueueSelection, queueSelection } from "./queue-order.ts";
import { type Resettable, resettable } from "./resets.ts";
import type { RetryFunction } from "./retry/function.ts";
import type { RetryStrategy } from "./retry/strategy.ts";
import { Router } from "./routing.ts";
import { assertDistinct, type Schedule, scheduleParser } from "./schedules/schedule.ts";
import type { Serializer } from "./serializer.ts";
import { schemeOf } from "./transport-factory.ts";

export interface TransportConfig {
  /** `postgres://…`, `embedded:`, `memory:` or `sync:`; the scheme picks the transport package. */
  readonly dsn: string;
  /** Options of that transport; they beat the query parameters of the DSN. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** For messages whose type has no `retry` of its own. */
  readonly retry?: RetryOptions | RetryStrategy | RetryFunction;
  /** The same for messages from these queues; beats `retry` of the transport. */
  readonly queueRetry?: Readonly<Record<string, RetryOptions | RetryStrategy | RetryFunction>>;
  readonly serializer?: Serializer;
  /** The transport that keeps its dead letters; beats the one of the configuration. Default: they stay in their own. */
  readonly failureTransport?: string;
}

/** The worker's share of the configuration; flags and environment beat it. Names as in the environment. */
export interface WorkerConfig {
  readonly batchSize?: number;
  readonly maxConcurrency?: number;
  readonly pollInterval?: number;
  readonly processes?: number | "auto";
  readonly threads?: number;
  /** A list is precedence, an object of numbers weights. */
  readonly queues?: QueueSelection;
  readonly messageLimit?: number;
  readonly timeLimit?: number;
  readonly memoryLimit?: number;
  /** Of what the container's memory limit leaves to each worker process: beyond, it is replaced. `memoryLimit` beats it. */
  readonly memoryPercent?: number;
  readonly failureLimit?: number;
  /** Messages after which a worker process is replaced by a fresh one. */
  readonly recycleMessages?: number;
  /** Milliseconds after which a worker process is replaced by a fresh one. */
  readonly recycleTime?: number;
  /** Seconds, as in `SYMPHONY_SHUTDOWN_TIMEOUT`. */
  readonly shutdownTimeout?: number;
  /** The bus on which every message is handled, whatever bus it was dispatched on. Default: that of the message. */
  readonly bus?: string;
  /** Messages between two resets of `resettable`; 0: never. Default 1. */
  readonly resetEvery?: number;
}

/** One bus: a chain of middleware that some messages pass through and others do not. */
export interface BusConfig {
  /** Steps of this bus, after those of all buses and before those of the library. */
  readonly middleware?: readonly Middleware[];
  /** A message without a handler counts as handled; else it is an error, or a dead letter. Default false. */
  readonly allowNoHandlers?: boolean;
  /** A message without a route is handled in place, as by a sync transport; else dispatching it is an error. Default false. */
  readonly allowNoSenders?: boolean;
}

export interface MessengerConfig {
  readonly transports: Readonly<Record<string, TransportConfig>>;
  /** Message name, `prefix.*` or `*` → transport or transports. The most specific pattern wins. Default: `*` → the only transport. */
  readonly routing?: Readonly<Record<string, string | readonly string[]>>;
  readonly handlers?: readonly HandlerDescriptor[];
  /** Types that are dispatched here and handled elsewhere; those of `handlers` need not be repeated. */
  readonly messages?: readonly AnyMessageType[];
  /** Steps on every bus, before those of the library, when a message is dispatched and when it is handled. */
  readonly middleware?: readonly Middleware[];
  /** Buses by name. Default: one, called "default". */
  readonly buses?: Readonly<Record<string, BusConfig>>;
  /** The bus of messages that name none. Needed when there are several and none is called "default". */
  readonly defaultBus?: string;
  /** The transport that keeps the dead letters of all transports that name none. Default: they stay in their own. */
  readonly failureTransport?: string;
  /** What keeps state between messages, by name: reset in the thread or process that ran a handler, before the next message there. */
  readonly resettable?: Readonly<Record<string, Resettable>>;
  /** Recurring messages, from `defineSchedule`; every worker process sees to them. */
  readonly schedules?: readonly Schedule[];
  /** Queues to set up beside those that message types name. */
  readonly queues?: readonly string[];
  /** Queues to prepare for `partitionKey` and `deduplicate`, beside those of message types that have one. */
  readonly keyedQueues?: readonly string[];
  readonly worker?: WorkerConfig;
  /** Of the admin API, which parses it. */
  readonly auth?: unknown;
  readonly defaults?: {
    /** Milliseconds for one attempt, when neither handler nor message type says otherwise. Default 300000. */
    readonly timeoutMs?: number;
  };
}

/** A configuration after parsing: defaults filled in, routing normalised, frozen. */
export interface ParsedConfig {
  readonly transports: Readonly<Record<string, ParsedTransportConfig>>;
  readonly routing: Readonly<Record<string, readonly string[]>>;
  readonly handlers: readonly HandlerDescriptor[];
  readonly messages: readonly AnyMessageType[];
  readonly middleware: readonly Middleware[];
  readonly resettable: Readonly<Record<string, Resettable>>;
  readonly schedules: readonly Schedule[];
  /** At least one. */
  readonly buses: Readonly<Record<string, Required<BusConfig>>>;
  readonly defaultBus: string;
  readonly queues: readonly string[];
  readonly keyedQueues: readonly string[];
  readonly worker: WorkerConfig;
  readonly auth?: unknown;
  readonly defaults: { readonly timeoutMs: number };
}

export interface ParsedTransportConfig {
  readonly dsn: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly retry?: RetryOptions | RetryStrategy;
  readonly queueRetry?: Readonly<Record<string, RetryOptions | RetryStrategy>>;
  readonly serializer?: Serializer;
  /** Another transport. */
  readonly failureTransport?: string;
}

const senders = {
  parse(value: unknown, path: string): readonly string[] {
    if (typeof value === "string") return Object.freeze([value]);
    if (Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === "string")) return Object.freeze([...value]);
    throw new OptionsError(path, value, "must be a transport name or a list of them");
  },
};

const transportSchema = object({
  dsn: string(),
  options: record(anything<unknown>(), { default: {} }),
  retry: optional({ parse: parseRetry }),
  queueRetry: optional(record({ parse: parseRetry })),
  serializer: optional(anything<Serializer>()),
  failureTransport: optional(string()),
});

export const workerConfigSchema = object({
  batchSize: optional(integer({ min: 1, max: 10_000 })),
  maxConcurrency: optional(integer({ min: 1, max: 10_000 })),
  pollInterval: optional(integer({ min: 10, max: 3_600_000 })),
  processes: optional({
    parse: (value: unknown, path: string): number | "auto" =>
      value === "auto" ? "auto" : integer({ min: 1, max: 256 }).parse(value, path),
  }),
  threads: optional(integer({ min: 1, max: 256 })),
  queues: optional(queueSelection),
  messageLimit: optional(integer({ min: 1 })),
  timeLimit: optional(integer({ min: 1 })),
  memoryLimit: optional(integer({ min: 1 })),
  memoryPercent: optional(integer({ min: 1, max: 100 })),
  failureLimit: optional(integer({ min: 1 })),
  recycleMessages: optional(integer({ min: 1 })),
  recycleTime: optional(integer({ min: 1 })),
  shutdownTimeout: optional(integer({ min: 0, max: 86_400 })),
  bus: optional(string()),
  resetEvery: optional(integer({ min: 0 })),
});

const handlerParser = {
  parse(value: unknown, path: string): HandlerDescriptor {
    const { handle, messages } = (value ?? {}) as Partial<HandlerDescriptor>;
    if (typeof handle !== "function" || !Array.isArray(messages)) throw new OptionsError(path, value, "must come from defineHandler");
    return value as HandlerDescriptor;
  },
};

const messageParser = {
  parse(value: unknown, path: string): AnyMessageType {
    if (typeof (value as AnyMessageType | null)?.name !== "string") throw new OptionsError(path, value, "must come from defineMessage");
    return value as AnyMessageType;
  },
};

const busSchema = object({
  middleware: listOf(anything<Middleware>(), { default: [] }),
  allowNoHandlers: boolean({ default: false }),
  // Symfony's default is true. Here it would mean that a slip in the routing runs a handler in a web server, and that
  // "accepted" no longer means "stored".
  allowNoSenders: boolean({ default: false }),
});

const DEFAULT_BUS = "default";

/** Milliseconds: five minutes let an import run and still end what hangs on a dead socket. */
export const DEFAULT_TIMEOUT_MS = 300_000;

const configSchema = object({
  transports: record(transportSchema),
  routing: record(senders, { default: {} }),
  handlers: listOf(handlerParser, { default: [] }),
  messages: listOf(messageParser, { default: [] }),
  middleware: listOf(anything<Middleware>(), { default: [] }),
  buses: record(busSchema, { default: {} }),
  defaultBus: optional(string()),
  failureTransport: optional(string()),
  resettable: record(resettable, { default: {} }),
  schedules: listOf(scheduleParser, { default: [] }),
  queues: listOf(string({ pattern: NAME_PATTERN }), { default: [] }),
  keyedQueues: listOf(string({ pattern: NAME_PATTERN }), { default: [] }),
  worker: optional(workerConfigSchema),
  defaults: optional(object({ timeoutMs: integer({ min: 1, max: 86_400_000, default: DEFAULT_TIMEOUT_MS }) })),
  auth: optional(anything<unknown>()),
});

/** Gives an editor the types of the configuration; checked when it is used. */
export function defineConfig(config: MessengerConfig): MessengerConfig {
  return config;
}

/**
 * Parses a configuration and checks that its parts fit together.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export function parseConfig(config: unknown): ParsedConfig {
  const parsed = parseOptions(configSchema, config, "config");
  const names = Object.keys(parsed.transports);
  if (names.length === 0) throw new OptionsError("config.transports", {}, "must name at least one transport");
  for (const name of names)
    if (!NAME_PATTERN.test(name)) throw new OptionsError(`config.transports.${name}`, name, `must match ${NAME_PATTERN.source}`);
  for (const [pattern, targets] of Object.entries(parsed.routing)) {
    for (const target of targets) {
      if (!names.includes(target))
        throw new OptionsError(`config.routing["${pattern}"]`, target, `must name a configured transport (${names.join(", ")})`);
    }
  }
  const transports = withFailureTransports(parsed.transports, parsed.failureTransport);
  const only = names.length === 1 ? names[0] : names.includes("default") ? "default" : undefined;
  const implied = [...parsed.handlers.flatMap(({ messages }) => messages), ...parsed.schedules.map(({ message }) => message)];
  const messages = [...new Set([...parsed.messages, ...implied])];
  const explicit = { ...routesOfTypes(messages, parsed.routing, names), ...parsed.routing };
  const routing = explicit["*"] === undefined && only !== undefined ? { ...explicit, "*": [only] } : explicit;
  assertDistinct(parsed.schedules);
  const { buses, defaultBus } = parseBuses(parsed.buses, parsed.defaultBus);
  for (const { name, bus } of messages)
    if (bus !== undefined && buses[bus] === undefined)
      throw new OptionsError(`message "${name}".bus`, bus, `must name a configured bus (${Object.keys(buses).join(", ")})`);
  const forced = parsed.worker?.bus;
  if (forced !== undefined && buses[forced] === undefined)
    throw new OptionsError("config.worker.bus", forced, `must name a configured bus (${Object.keys(buses).join(", ")})`);
  return Object.freeze({
    ...parsed,
    transports,
    routing,
    messages,
    buses,
    defaultBus,
    worker: parsed.worker ?? {},
    defaults: parsed.defaults ?? { timeoutMs: DEFAULT_TIMEOUT_MS },
  }) as ParsedConfig;
}

/** Each with the transport that keeps its dead letters, when that is another one. Dead letters move once: no chains. */
function withFailureTransports(transports: ParsedConfig["transports"], shared: string | undefined): ParsedConfig["transports"] {
  const of = (name: string): string | undefined => {
    const chosen = transports[name]?.failureTransport ?? shared;
    return chosen === name || schemeOf(transports[name]?.dsn ?? "") === "sync" ? undefined : chosen;
  };
  const entries = Object.entries(transports).map(([name, { failureTransport, ...rest }]) => {
    const chosen = of(name);
    const path = failureTransport === undefined ? "config.failureTransport" : `config.transports.${name}.failureTransport`;
    const target = chosen === undefined ? undefined : transports[chosen];
    if (chosen !== undefined && (target === undefined || schemeOf(target.dsn) === "sync"))
      throw new OptionsError(path, chosen, `must name a configured transport that keeps messages (${Object.keys(transports).join(", ")})`);
    if (chosen !== undefined && of(chosen) !== undefined)
      throw new OptionsError(
        path,
        chosen,
        `must name a transport that keeps its own dead letters; "${chosen}" has the failure transport "${of(chosen)}"`,
      );
    return [name, Object.freeze(chosen === undefined ? rest : { ...rest, failureTransport: chosen })] as const;
  });
  return Object.freeze(Object.fromEntries(entries));
}

function parseBuses(given: ParsedConfig["buses"], chosen: string | undefined): Pick<ParsedConfig, "buses" | "defaultBus"> {
  const buses = Object.keys(given).length === 0 ? { [DEFAULT_BUS]: busSchema.parse({}, "config.buses") } : given;
  const names = Object.keys(buses);
  for (const name of names)
    if (!NAME_PATTERN.test(name)) throw new OptionsError(`config.buses.${name}`, name, `must match ${NAME_PATTERN.source}`);
  const defaultBus = chosen ?? (names.length === 1 ? names[0] : names.includes(DEFAULT_BUS) ? DEFAULT_BUS : undefined);
  if (defaultBus === undefined || !names.includes(defaultBus))
    throw new OptionsError("config.defaultBus", chosen, `must name one of the buses (${names.join(", ")})`);
  return { buses, defaultBus };
}

/** A pattern of the configuration beats what the type says of itself, as in Symfony; the implied `*` does not. */
function routesOfTypes(
  messages: readonly AnyMessageType[],
  routing: ParsedConfig["routing"],
  names: readonly string[],
): Record<string, readonly string[]> {
  const router = new Router(routing);
  const routes: Record<string, readonly string[]> = {};
  for (const { name, transport = [] } of messages) {
    const unknown = transport.find((each) => !names.includes(each));
    if (unknown !== undefined)
      throw new OptionsError(`message "${name}".transport`, unknown, `must name a configured transport (${names.join(", ")})`);
    if (transport.length > 0 && router.find(name) === undefined) routes[name] = transport;
  }
  return routes;
}
