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
  readonly message: AnyMessageType;
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

/**
 * Binds a function to a message type.
 *
 * At least once: the function may run again for the same message after a crash. Throw to have it tried again,
 * `UnrecoverableError` to give up at once.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export function defineHandler<Input, Output, Result>(
  message: MessageType<Input, Output, Result>,
  handle: HandlerFunction<Output, Result>,
  options: HandlerOptions = {},
): HandlerDescriptor {
  if (typeof message?.name !== "string")
    throw new OptionsError("defineHandler: message", message, "must be a message type from defineMessage");
  if (typeof handle !== "function") throw new OptionsError(`handler of "${message.name}"`, handle, "must be a function");
  const parsed = parseOptions(handlerSchema, options, `handler of "${message.name}"`);
  const name = parsed.name ?? (handle.name === "" ? message.name : handle.name);
  return Object.freeze({ ...parsed, name, message, handle: handle as HandlerFunction<unknown> });
}

const NO_HANDLERS: readonly HandlerDescriptor[] = [];

/** Message name → handlers, in the order in which they run. */
export class HandlerRegistry {
  readonly #byType = new Map<string, readonly HandlerDescriptor[]>();
  /** Types with a handler that is not for every transport and bus. */
  readonly #restricted = new Set<string>();

  constructor(handlers: readonly HandlerDescriptor[]) {
    for (const handler of handlers) {
      const others = this.#byType.get(handler.message.name) ?? [];
      if (others.some((other) => other.name === handler.name)) {
        throw new ConfigError(`message "${handler.message.name}" has two handlers named "${handler.name}": give one a { name }`, {
          handler: handler.name,
        });
      }
      if (handler.fromTransport !== undefined || handler.bus !== undefined) this.#restricted.add(handler.message.name);
      this.#byType.set(
        handler.message.name,
        [...others, handler].sort((a, b) => b.priority - a.priority),
      );
    }
  }

  /** Handlers for a message of this type that came from `transport` over `bus`. */
  for(type: string, where: { transport?: string; bus?: string } = {}): readonly HandlerDescriptor[] {
    const all = this.#byType.get(type) ?? NO_HANDLERS;
    if (!this.#restricted.has(type)) return all;
    const fits = (handler: HandlerDescriptor): boolean =>
      (handler.fromTransport === undefined || handler.fromTransport === where.transport) &&
      (handler.bus === undefined || handler.bus === where.bus);
    return all.every(fits) ? all : all.filter(fits);
  }

  all(): readonly HandlerDescriptor[] {
    return [...this.#byType.values()].flat();
  }
}
