import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Envelope, Stamp } from "./envelope.ts";
import { ConfigError, OptionsError } from "./errors.ts";
import { LONGEST_DELAY_MS } from "./longest-delay.ts";
import { anything, func, integer, listOf, number, object, optional, parseOptions, record, string } from "./options.ts";
import { functionRetry, type RetryFunction } from "./retry/function.ts";
import type { RetryStrategy } from "./retry/strategy.ts";
import { olderNames } from "./stamps.ts";

/** How a failed message is tried again; every number has the same default as in Symfony Messenger. */
export interface RetryOptions {
  /** Attempts after the first, 0 to 1000000. Default 3. */
  readonly maxRetries?: number;
  /** Milliseconds before the second attempt. Default 1000. */
  readonly delayMs?: number;
  /** Each delay is the last one times this, at least 1. Default 2. */
  readonly multiplier?: number;
  /** No delay is longer, in milliseconds; 0: no limit. Default 0. */
  readonly maxDelayMs?: number;
  /** Share by which a delay is varied at random, 0 to 1. Default 0.1. */
  readonly jitter?: number;
}

export interface MessageOptions<
  Schema extends StandardSchemaV1,
  ResultSchema extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>,
> {
  /** Any Standard Schema: zod, valibot, arktype. Checked at dispatch and again before handling. */
  readonly schema?: Schema;
  /** What the handler of a query returns; `messenger.handle` checks it and resolves with it. Not for schemas that transform. */
  readonly result?: ResultSchema;
  /** Version of the payload, 1 or higher. Default 1. */
  readonly version?: number;
  /** Other wire names that mean this type: old names of renamed messages. */
  readonly aliases?: readonly string[];
  /** From a version to the next: `{ 1: (payload) => payloadOfVersion2 }`. */
  readonly upcast?: Readonly<Record<number, (payload: unknown) => unknown>>;
  /** Queue of the transport. Default "default". */
  readonly queue?: string;
  /** 1 to 10, higher first. Default 5. */
  readonly priority?: number;
  /** Milliseconds that one attempt may take. Default: the configuration's `defaults.timeoutMs`. */
  readonly timeoutMs?: number;
  /** Numbers, a strategy, or a function from the failure to milliseconds. Beats those of queue and transport. */
  readonly retry?: RetryOptions | RetryStrategy | RetryFunction;
  /** Transport or transports for this type where the routing has no pattern of its own for it. */
  readonly transport?: string | readonly string[];
  /** Bus for this type; `dispatch` may name another one. */
  readonly bus?: string;
  /** Not before so many milliseconds after it is dispatched. Default 0. */
  readonly delayMs?: number;
  /** Milliseconds from when it is due; what was not started by then is a dead letter with the reason `expired`. Default: never. */
  readonly expiresInMs?: number;
  /** Messages of one key and queue are handled one after the other, in the order in which they were sent. No key: no order. */
  readonly partitionKey?: (payload: StandardSchemaV1.InferInput<NoInfer<Schema>>) => string | undefined;
  /** While a message with this key is not finished, the same again gets its id and nothing is sent. */
  readonly deduplicate?: (payload: StandardSchemaV1.InferInput<NoInfer<Schema>>) => string | undefined;
  /**
   * For `symphony slo rules`: the share of the time, 0.5 to 0.9999, in which no message may wait for longer than
   * `startWithinMs` milliseconds. What is measured is the type's queue.
   */
  readonly slo?: { readonly startWithinMs: number; readonly objective: number };
  /** Of every message of this type; `dispatch` adds to them and may replace single ones. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Stamps of the application; one of the same kind given to `dispatch` takes its place. */
  readonly stamps?: readonly Stamp[];
}

/** A registered message type; made by `defineMessage`. `Input` is dispatched, the handler gets `Output`, a query's handler returns `Result`. */
export interface MessageType<Input = unknown, Output = Input, Result = unknown> {
  readonly name: string;
  readonly schema?: StandardSchemaV1<Input, Output>;
  readonly result?: StandardSchemaV1<unknown, Result>;
  readonly version: number;
  readonly aliases: readonly string[];
  readonly upcast: Readonly<Record<number, (payload: unknown) => unknown>>;
  readonly queue: string;
  readonly priority: number;
  readonly timeoutMs?: number;
  readonly slo?: { readonly startWithinMs: number; readonly objective: number };
  readonly retry?: RetryOptions | RetryStrategy;
  readonly transport?: readonly string[];
  readonly bus?: string;
  readonly delayMs?: number;
  readonly expiresInMs?: number;
  partitionKey?(payload: Input): string | undefined;
  deduplicate?(payload: Input): string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly stamps?: readonly Stamp[];
}

// biome-ignore lint/suspicious/noExplicitAny: the top type of all message types; payloads are contravariant in schemas
export type AnyMessageType = MessageType<any, any, any>;

/** A wire name: what the contract allows and what is safe in URLs, labels and queue names. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const DEFAULT_QUEUE = "default";
export const DEFAULT_PRIORITY = 5;

const retrySchema = object({
  maxRetries: optional(integer({ min: 0, max: 1_000_000 })),
  delayMs: optional(number({ min: 0 })),
  multiplier: optional(number({ min: 1 })),
  maxDelayMs: optional(number({ min: 0 })),
  jitter: optional(number({ min: 0, max: 1 })),
});

const stampParser = {
  parse(value: unknown, path: string): Stamp {
    if (typeof (value as Stamp | null)?.name !== "string") throw new OptionsError(path, value, "must be a stamp, from a stamp type");
    return value as Stamp;
  },
};

const messageSchema = object({
  schema: optional({ parse: (value: unknown, path: string) => parseSchema(value, path) }),
  result: optional({ parse: (value: unknown, path: string) => parseSchema(value, path) }),
  version: integer({ min: 1, max: 1_000_000, default: 1 }),
  aliases: listOf(string({ pattern: NAME_PATTERN }), { default: [] }),
  upcast: record(func(), { default: {} }),
  queue: string({ pattern: NAME_PATTERN, default: DEFAULT_QUEUE }),
  priority: integer({ min: 1, max: 10, default: DEFAULT_PRIORITY }),
  timeoutMs: optional(integer({ min: 1, max: 86_400_000 })),
  retry: optional({ parse: (value: unknown, path: string) => parseRetry(value, path) }),
  transport: optional({
    parse: (value: unknown, path: string) => listOf(string()).parse(typeof value === "string" ? [value] : value, path),
  }),
  bus: optional(string({ pattern: NAME_PATTERN })),
  delayMs: optional(number({ min: 0, max: LONGEST_DELAY_MS })),
  expiresInMs: optional(number({ min: 1, max: LONGEST_DELAY_MS })),
  partitionKey: optional(func()),
  deduplicate: optional(func()),
  headers: optional(record(string())),
  metadata: optional(record(anything<unknown>())),
  stamps: optional(listOf(stampParser)),
  slo: optional(object({ startWithinMs: integer({ min: 1, max: LONGEST_DELAY_MS }), objective: number({ min: 0.5, max: 0.9999 }) })),
});

/**
 * Declares a message type: its wire name, payload and defaults.
 *
 * @param name - Mandatory and stable: it is stored with every message. `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`.
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 * @example
 * export const Resize = defineMessage("image.resize", { schema: z.object({ url: z.url(), width: z.int() }) });
 */
export function defineMessage<
  Schema extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>,
  ResultSchema extends StandardSchemaV1 = StandardSchemaV1<unknown, unknown>,
>(name: string, options: MessageOptions<Schema, ResultSchema> = {}): TypeOf<Schema, ResultSchema> {
  if (typeof name !== "string" || !NAME_PATTERN.test(name))
    throw new OptionsError("message name", name, `must match ${NAME_PATTERN.source}`);
  const parsed = parseOptions(messageSchema, options, `message "${name}"`);
  for (const key of Object.keys(parsed.upcast)) {
    const from = Number(key);
    if (!Number.isInteger(from) || from < 1 || from >= parsed.version) {
      throw new OptionsError(`message "${name}".upcast.${key}`, key, `must be a version from 1 to ${parsed.version - 1}`);
    }
  }
  return Object.freeze({ name, ...parsed }) as TypeOf<Schema, ResultSchema>;
}

type TypeOf<Schema extends StandardSchemaV1, ResultSchema extends StandardSchemaV1> = MessageType<
  StandardSchemaV1.InferInput<Schema>,
  StandardSchemaV1.InferOutput<Schema>,
  StandardSchemaV1.InferOutput<ResultSchema>
>;

export function parseRetry(value: unknown, path: string): RetryOptions | RetryStrategy {
  if (isRetryStrategy(value)) return value;
  if (typeof value === "function") return functionRetry(value as RetryFunction);
  return parseOptions(retrySchema, value, path) as RetryOptions;
}

export function isRetryStrategy(value: unknown): value is RetryStrategy {
  return typeof value === "object" && value !== null && typeof (value as { isRetryable?: unknown }).isRetryable === "function";
}

function parseSchema(value: unknown, path: string): StandardSchemaV1 {
  const standard = (value as { "~standard"?: { validate?: unknown } } | null)?.["~standard"];
  if (typeof standard?.validate !== "function") throw new OptionsError(path, value, "must be a Standard Schema (zod, valibot, arktype)");
  return value as StandardSchemaV1;
}

/** Name and alias → message type. */
export class MessageRegistry {
  readonly #types = new Map<string, AnyMessageType>();
  /** The one found last: a name that was read from a record has no hash yet, and comparing it with this one needs none. */
  #last: { readonly name: string; readonly type: AnyMessageType } | undefined;

  constructor(types: Iterable<AnyMessageType>) {
    for (const type of types) for (const name of [type.name, ...type.aliases]) this.#add(name, type);
  }

  get(name: string): AnyMessageType | undefined {
    if (this.#last?.name === name) return this.#last.type;
    const type = this.#types.get(name);
    if (type !== undefined) this.#last = { name, type };
    return type;
  }

  /** The type of a message that was read: by its name, else by an older name that its sender says it had. */
  typeOf(envelope: Envelope): AnyMessageType | undefined {
    return this.get(envelope.message.type) ?? this.find(envelope.last(olderNames)?.names ?? []);
  }

  /** The first that is known. */
  find(names: readonly string[]): AnyMessageType | undefined {
    for (const name of names) {
      const type = this.#types.get(name);
      if (type !== undefined) return type;
    }
    return undefined;
  }

  /** Each type once, in order of registration. */
  all(): AnyMessageType[] {
    return [...new Set(this.#types.values())];
  }

  #add(name: string, type: AnyMessageType): void {
    const known = this.#types.get(name);
    if (known !== undefined && known !== type) {
      throw new ConfigError(
        `two message types claim the wire name "${name}" ("${known.name}" and "${type.name}"): rename one or drop the alias`,
        { name },
      );
    }
    this.#types.set(name, type);
  }
}
