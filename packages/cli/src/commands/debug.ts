import { HandlerRegistry, isRetryStrategy, MessageRegistry, type ParsedConfig, Router } from "@symphony/core";
import { defineCommand, defineGroup } from "../command.ts";
import { type Column, print, table } from "../output.ts";
import { openSession } from "../session.ts";
import { debugConfig } from "./debug-config.ts";

interface MessageRow {
  readonly type: string;
  readonly aliases: readonly string[];
  readonly version: number;
  readonly queue: string;
  readonly priority: number;
  readonly timeoutMs: number;
  readonly retry: unknown;
  readonly transports: readonly string[];
  readonly handlers: readonly string[];
}

interface HandlerRow {
  readonly name: string;
  readonly type: string;
  readonly execution: "thread" | "inline";
  readonly transactional: boolean;
  readonly priority: number;
  readonly fromTransport?: string;
}

interface RouteRow {
  readonly pattern: string;
  readonly transports: readonly string[];
  readonly types: readonly string[];
}

interface BusRow {
  readonly name: string;
  readonly isDefault: boolean;
  readonly middleware: readonly string[];
  readonly allowNoHandlers: boolean;
  readonly allowNoSenders: boolean;
}

export interface ScheduleRow {
  readonly name: string;
  readonly type: string;
  readonly trigger: string;
  readonly missedRuns: string;
  /** RFC 3339, without jitter. */
  readonly nextRunAt: string | null;
}

interface Overview {
  readonly messages: readonly MessageRow[];
  readonly handlers: readonly HandlerRow[];
  readonly routes: readonly RouteRow[];
  readonly middleware: readonly string[];
  readonly buses: readonly BusRow[];
  readonly problems: {
    /** Their messages can be dispatched only with an explicit transport. */
    readonly handlersWithoutRoute: readonly string[];
    /** Patterns that lead no known message to a handler. */
    readonly routesWithoutHandler: readonly string[];
    /** Sent from here, and handled here by nobody. */
    readonly messagesWithoutHandler: readonly string[];
  };
}

/** What the configuration adds up to. Connects to nothing. */
export function overviewOf(config: ParsedConfig): Overview {
  const registry = new MessageRegistry(config.messages);
  const handlers = new HandlerRegistry(config.handlers);
  const router = new Router(config.routing);
  const messages = registry.all().map(
    (type): MessageRow => ({
      type: type.name,
      aliases: type.aliases,
      version: type.version,
      queue: type.queue,
      priority: type.priority,
      timeoutMs: type.timeoutMs ?? config.defaults.timeoutMs,
      retry: type.retry === undefined ? "default" : isRetryStrategy(type.retry) ? "own strategy" : type.retry,
      transports: router.find(type.name) ?? [],
      handlers: handlers.for(type.name).map((handler) => handler.name),
    }),
  );
  const routes = Object.entries(config.routing).map(([pattern, transports]): RouteRow => {
    const alone = new Router({ [pattern]: transports });
    // The most specific pattern wins: a message belongs to this one when the whole routing decides the same way.
    const types = messages.filter((message) => alone.find(message.type) !== undefined && router.find(message.type) === transports);
    return { pattern, transports, types: types.map((message) => message.type) };
  });
  const handled = new Set(messages.filter((message) => message.handlers.length > 0).map((message) => message.type));
  return {
    messages,
    handlers: handlers.all().map(({ name, messages: types, pattern, execution, transactional, priority, fromTransport }) => ({
      name,
      type: pattern ?? list(types.map((type) => type.name)),
      execution,
      transactional,
      priority,
      ...(fromTransport === undefined ? {} : { fromTransport }),
    })),
    routes,
    middleware: namesOf(config.middleware),
    buses: Object.entries(config.buses).map(([name, { middleware, allowNoHandlers, allowNoSenders }]) => ({
      name,
      isDefault: name === config.defaultBus,
      middleware: namesOf([...config.middleware, ...middleware]),
      allowNoHandlers,
      allowNoSenders,
    })),
    problems: {
      handlersWithoutRoute: handlers
        .all()
        .flatMap((handler) => handler.messages.map((type) => [handler.name, type.name] as const))
        .filter(([, type]) => router.find(type) === undefined)
        .map(([name, type]) => `${name} (${type})`),
      routesWithoutHandler: routes.filter((route) => !route.types.some((type) => handled.has(type))).map((route) => route.pattern),
      messagesWithoutHandler: messages.filter((message) => message.handlers.length === 0).map((message) => message.type),
    },
  };
}

/** In the order in which a message meets them. */
const namesOf = (own: ParsedConfig["middleware"]): string[] => [
  ...own.map((step) => step.name || "(anonymous)"),
  "validate",
  "route",
  "handle",
];

const list = (values: readonly string[]): string => (values.length === 0 ? "-" : values.join(", "));

const MESSAGES: readonly Column<MessageRow>[] = [
  { title: "MESSAGE", value: (row) => [row.type, ...row.aliases].join(" = ") },
  { title: "VERSION", value: (row) => row.version, align: "right" },
  { title: "QUEUE", value: (row) => row.queue },
  { title: "PRIORITY", value: (row) => row.priority, align: "right" },
  { title: "TIMEOUT", value: (row) => `${row.timeoutMs}ms`, align: "right" },
  { title: "RETRY", value: (row) => (typeof row.retry === "string" ? row.retry : JSON.stringify(row.retry)) },
  { title: "TRANSPORT", value: (row) => list(row.transports) },
  { title: "HANDLERS", value: (row) => list(row.handlers) },
];

const HANDLERS: readonly Column<HandlerRow>[] = [
  { title: "HANDLER", value: (row) => row.name },
  { title: "MESSAGE", value: (row) => row.type },
  { title: "RUNS", value: (row) => (row.execution === "inline" ? "inline" : "in a thread") },
  { title: "TRANSACTIONAL", value: (row) => (row.transactional ? "yes" : "no") },
  { title: "ONLY FROM", value: (row) => row.fromTransport ?? "-" },
];

const ROUTES: readonly Column<RouteRow>[] = [
  { title: "ROUTE", value: (row) => row.pattern },
  { title: "TRANSPORT", value: (row) => list(row.transports) },
  { title: "MESSAGES", value: (row) => list(row.types) },
];

const BUSES: readonly Column<BusRow>[] = [
  { title: "BUS", value: (row) => (row.isDefault ? `${row.name} (default)` : row.name) },
  { title: "MIDDLEWARE", value: (row) => row.middleware.join(" → ") },
];

const SCHEDULES: readonly Column<ScheduleRow>[] = [
  { title: "SCHEDULE", value: (row) => row.name },
  { title: "TRIGGER", value: (row) => row.trigger },
  { title: "MESSAGE", value: (row) => row.type },
  { title: "MISSED RUNS", value: (row) => row.missedRuns },
  { title: "NEXT RUN", value: (row) => row.nextRunAt ?? "never" },
];

/** When they are due next, by this machine's clock; what a worker does with them is shown by `symphony schedule list`. */
function schedulesOf(config: ParsedConfig, now: number): readonly ScheduleRow[] {
  return config.schedules.map((schedule) => ({
    name: schedule.name,
    type: schedule.message.name,
    trigger: schedule.words,
    missedRuns: schedule.missedRuns,
    nextRunAt: schedule.trigger.next(new Date(now))?.toISOString() ?? null,
  }));
}

function toText(overview: Overview, schedules: readonly ScheduleRow[]): string {
  const { handlersWithoutRoute, routesWithoutHandler, messagesWithoutHandler } = overview.problems;
  const problems = [
    ...handlersWithoutRoute.map((name) => `handler with no route: ${name}`),
    ...routesWithoutHandler.map((pattern) => `route with no handler: ${pattern}`),
    ...messagesWithoutHandler.map((type) => `message with no handler: ${type}`),
  ];
  return [
    table(MESSAGES, overview.messages),
    table(HANDLERS, overview.handlers),
    table(ROUTES, overview.routes),
    overview.buses.length === 1 ? `MIDDLEWARE\n${overview.middleware.join(" → ")}` : table(BUSES, overview.buses),
    ...(schedules.length === 0 ? [] : [table(SCHEDULES, schedules)]),
    problems.length === 0 ? "no problems" : problems.join("\n"),
  ].join("\n\n");
}

const debugOverview = defineCommand({
  usage: "$0",
  describe: "Show messages, handlers, routes, middleware and schedules, and what does not fit",
  async run(io, flags) {
    const { loaded } = await openSession(io, flags);
    const schedules = schedulesOf(loaded.parsed, io.clock.now());
    const overview = { file: loaded.file, ...overviewOf(loaded.parsed), schedules };
    print(
      io,
      flags.json === true,
      overview,
      () => `configuration: ${loaded.file ?? "none found, defaults"}\n\n${toText(overview, schedules)}`,
    );
  },
});

export const debug = defineGroup({
  usage: "debug",
  describe: "What the configuration adds up to",
  commands: [debugOverview, debugConfig],
});
