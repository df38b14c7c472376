import type { DispatchOptions, DispatchReceipt } from "./dispatch-options.ts";
import { ConfigError, OptionsError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { AnyMessageType, MessageType } from "./message.ts";
import { boolean, integer, object, oneOf, optional, parseOptions, string } from "./options.ts";

/** What a handler learns about its message, and what it can do beside returning. */
export interface HandlerContext {
  readonly messageId: string;
  readonly type: string;
  readonly queue: string;
  readonly transport: string;
  /** 1-based; releases and crashes of neighbours do not count. */
  readonly attempt: number;
  readonly maxRetries: number;
  readonly priority: number;
  readonly dispatchedAt: Date;
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Messages with the same one are handled one after the other. */
  readonly partitionKey: string | undefined;
  /** Aborts on timeout, lost lease and the shutdown deadline. Pass it on to `fetch` and the like. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Dispatches a follow-up; in a transactional handler it joins the commit. */
  dispatch<Input>(type: MessageType<Input, unknown>, payload: Input, options?: DispatchOptions): Promise<DispatchReceipt>;
  /**
   * The open `pg` client of a transactional handler.
   *
   * @throws {MessengerError} `CAPABILITY_MISSING` when the handler is not `transactional`.
   */
  readonly db: unknown;
  /** Tells the watchdog that a long handler is alive: the timeout starts anew. */
  heartbeat(): void;
  /** Ends this attempt without counting it; the message comes back after `delayMs`. Never returns. */
  snooze(delayMs: number): never;
}

export interface HandlerOptions {
  /** `thread` (default): in a pool thread, isolated. `inline`: in the worker process, for tiny or I/O-only handlers. */
  readonly execution?: "thread" | "inline";
  /** The handler's writes through `context.db`, its dispatches and the acknowledgement are one commit. Default false. */
  readonly transactional?: boolean;
  /** Milliseconds for one attempt; beats the message type's. */
  readonly timeoutMs?: number;
  /** Stable name in traces and in the list of handlers done. Default: the function's name, else the message's. */
  readonly name?: string;
  /** Order among the handlers of one message, high first. Default 0. */
  readonly priority?: number;
  /** Only for messages that came from this transport. */
  readonly fromTransport?: string;
  /** Only on this bus. */
  readonly bus?: string;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a handler may return nothing
export type HandlerFunction<Output, Result = unknown | void> = (payload: Output, context: HandlerContext) => Promise<Result> | Result;

export interface HandlerDescriptor {
  /** The types that it is bound to; none when it has a pattern. */
  readonly messages: readonly AnyMessageType[];
  /** The first of them. */
  readonly message?: AnyMessageType;
  /** `order.*` or `*`: any type of these names. */
  readonly pattern?: string;
  readonly handle: HandlerFunction<unknown>;
  readonly name: string;
  readonly execution: "thread" | "inline";
  readonly transactional: boolean;
  readonly priority: number;
  readonly timeoutMs?: number;
  readonly fromTransport?: string;
  readonly bus?: string;
  /** It takes several messages at a time (`defineBatchHandler`). */
  readonly batch?: { readonly size: number; readonly maxWaitMs: number };
}

const handlerSchema = object({
  execution: oneOf(["thread", "inline"], { default: "thread" }),
  transactional: boolean({ default: false }),
  timeoutMs: optional(integer({ min: 1, max: 86_400_000 })),
  name: optional(string()),
  priority: integer({ default: 0 }),
  fromTransport: optional(string()),
  bus: optional(string()),
});

/** What a handler of any of these types gets. */
// biome-ignore lint/suspicious/noExplicitAny: matches every message type
type OutputOf<Type> = Type extends MessageType<any, infer Output, any> ? Output : never;

/** `order.*` or `*`. */
const WILDCARD = /^([A-Za-z0-9][A-Za-z0-9._-]*\.)?\*$/;

/**
 * Binds a function to a message type, to several, or to all whose names match `order.*` or `*`.
 *
 * At least once: the function may run again for the same message after a crash. Throw to have it tried again,
 * `UnrecoverableError` to give up at once.
 *
 * A handler of a pattern runs after those of the type itself, of a longer pattern before a shorter one, and only for
 * types that the configuration knows. Of handlers with one name, the first in this order runs.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export function defineHandler<Input, Output, Result>(
  message: MessageType<Input, Output, Result>,
  handle: HandlerFunction<Output, Result>,
  options?: HandlerOptions,
): HandlerDescriptor;
export function defineHandler<const Types extends readonly AnyMessageType[]>(
  messages: Types,
  handle: HandlerFunction<OutputOf<Types[number]>>,
  options?: HandlerOptions,
): HandlerDescriptor;
export function defineHandler(pattern: string, handle: HandlerFunction<unknown>, options?: HandlerOptions): HandlerDescriptor;
export function defineHandler(
  given: AnyMessageType | readonly AnyMessageType[] | string,
  // biome-ignore lint/suspicious/noExplicitAny: one of the three signatures above
  handle: HandlerFunction<any>,
  options: HandlerOptions = {},
): HandlerDescriptor {
  const { messages, pattern } = targetOf(given);
  const target = pattern ?? messages.map(({ name }) => name).join(", ");
  if (typeof handle !== "function") throw new OptionsError(`handler of "${target}"`, handle, "must be a function");
  const parsed = parseOptions(handlerSchema, options, `handler of "${target}"`);
  const name = parsed.name ?? (handle.name === "" ? (pattern ?? messages[0]?.name ?? "") : handle.name);
  const [message] = messages;
  return Object.freeze({
    ...parsed,
    name,
    messages,
    ...(message === undefined ? {} : { message }),
    ...(pattern === undefined ? {} : { pattern }),
    handle,
  });
}

/** @throws {OptionsError} */
function targetOf(given: unknown): { readonly messages: readonly AnyMessageType[]; readonly pattern?: string } {
  if (typeof given === "string") {
    if (!WILDCARD.test(given))
      throw new OptionsError("defineHandler: message", given, 'must be a message type, or a pattern like "order.*" or "*"');
    return { messages: [], pattern: given };
  }
  const messages = Array.isArray(given) ? (given as readonly AnyMessageType[]) : [given as AnyMessageType];
  if (messages.length === 0 || messages.some((each) => typeof each?.name !== "string"))
    throw new OptionsError("defineHandler: message", given, "must be a message type from defineMessage, or a list of them");
  return { messages: Object.freeze([...messages]) };
}

const NO_HANDLERS: readonly HandlerDescriptor[] = [];

const isRestricted = ({ fromTransport, bus }: HandlerDescriptor): boolean => fromTransport !== undefined || bus !== undefined;

/** Message name → handlers, in the order in which they run. */
export class HandlerRegistry {
  readonly #all: readonly HandlerDescriptor[];
  readonly #byType = new Map<string, readonly HandlerDescriptor[]>();
  /** Types with a handler that is not for every transport and bus. */
  readonly #restricted = new Set<string>();
  readonly #byPattern: readonly (readonly [pattern: string, handlers: readonly HandlerDescriptor[]])[];
  readonly #found = new Map<string, readonly HandlerDescriptor[]>();
  /** Those found last, for every transport and bus: comparing names costs less than looking one up that was just read. */
  #last: { readonly type: string; readonly handlers: readonly HandlerDescriptor[] } | undefined;
  /** Whether a handler of a pattern is not for every transport and bus. */
  readonly #isRestricted: boolean;

  constructor(handlers: readonly HandlerDescriptor[]) {
    this.#all = [...handlers];
    const byPattern = new Map<string, readonly HandlerDescriptor[]>();
    for (const handler of handlers) {
      for (const { name } of handler.messages) {
        if (isRestricted(handler)) this.#restricted.add(name);
        add(this.#byType, name, handler);
      }
      if (handler.pattern !== undefined) add(byPattern, handler.pattern, handler);
    }
    this.#byPattern = [...byPattern].sort(([a], [b]) => b.length - a.length);
    this.#isRestricted = handlers.some((handler) => handler.pattern !== undefined && isRestricted(handler));
  }

  /** Handlers for a message of this type that came from `transport` over `bus`. */
  for(
    type: string,
    where: { readonly transport?: string | undefined; readonly bus?: string | undefined } = {},
  ): readonly HandlerDescriptor[] {
    if (this.#last?.type === type) return this.#last.handlers;
    const all = this.#byPattern.length === 0 ? (this.#byType.get(type) ?? NO_HANDLERS) : this.#with(type);
    if (!this.#isRestricted && !this.#restricted.has(type)) {
      this.#last = { type, handlers: all };
      return all;
    }
    const fits = (handler: HandlerDescriptor): boolean =>
      (handler.fromTransport === undefined || handler.fromTransport === where.transport) &&
      (handler.bus === undefined || handler.bus === where.bus);
    return all.every(fits) ? all : all.filter(fits);
  }

  all(): readonly HandlerDescriptor[] {
    return this.#all;
  }

  /** Those of the type itself, then those of patterns, each name once. */
  #with(type: string): readonly HandlerDescriptor[] {
    const known = this.#found.get(type);
    if (known !== undefined) return known;
    const found = new Map((this.#byType.get(type) ?? []).map((handler) => [handler.name, handler]));
    for (const [pattern, handlers] of this.#byPattern) {
      if (!type.startsWith(pattern.slice(0, -1))) continue;
      for (const handler of handlers) if (!found.has(handler.name)) found.set(handler.name, handler);
    }
    const all = Object.freeze([...found.values()]);
    // Names that senders make up must not fill the memory.
    if (this.#found.size < KEPT_TYPES) this.#found.set(type, all);
    return all;
  }
}

const KEPT_TYPES = 10_000;

/** @throws {ConfigError} there is one of this name for the same messages. */
function add(handlers: Map<string, readonly HandlerDescriptor[]>, target: string, handler: HandlerDescriptor): void {
  const others = handlers.get(target) ?? [];
  if (others.some((other) => other.name === handler.name)) {
    throw new ConfigError(`message "${target}" has two handlers named "${handler.name}": give one a { name }`, { handler: handler.name });
  }
  handlers.set(
    target,
    [...others, handler].sort((a, b) => b.priority - a.priority),
  );
}
