import { currentAttempt } from "./attempt.ts";
import { MessageBus } from "./bus.ts";
import { type Runtime, systemRuntime } from "./clock.ts";
import { type MessengerConfig, type ParsedConfig, parseConfig } from "./config.ts";
import { EnvelopeContext } from "./context.ts";
import type { DispatchOptions, DispatchReceipt } from "./dispatch-options.ts";
import { toStamps } from "./dispatch-stamps.ts";
import { Envelope } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import { HandlerRegistry } from "./handlers.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { type AnyMessageType, DEFAULT_QUEUE, isRetryStrategy, MessageRegistry, type MessageType, type RetryOptions } from "./message.ts";
import { handle } from "./middleware/handle.ts";
import { route } from "./middleware/route.ts";
import { validate } from "./middleware/validate.ts";
import { multiplierRetry } from "./retry/multiplier.ts";
import type { RetryStrategy } from "./retry/strategy.ts";
import { Router } from "./routing.ts";
import { createJsonSerializer, type Serializer } from "./serializer.ts";
import { busName, dispatched, lineage, messageId, scheduled, sent, typeVersion } from "./stamps.ts";
import { MessageMetrics } from "./telemetry/message-metrics.ts";
import { Meter } from "./telemetry/meter.ts";
import { isCloseable, isSetUpAble, type Sender, type Transport } from "./transport.ts";
import { findFactory, schemeOf, type TransportFactory } from "./transport-factory.ts";
import { memoryTransportFactory } from "./transports/memory.ts";
import { createSyncTransport } from "./transports/sync.ts";

export interface MessengerOptions {
  readonly logger?: Logger;
  readonly runtime?: Runtime;
  /** Where it counts what it does. Default: a new one. */
  readonly meter?: Meter;
  /** Factories beside the built-in ones; the first that knows the scheme wins. */
  readonly transportFactories?: readonly TransportFactory[];
  /** Ready transports by name, used instead of making them from the configuration; `close()` leaves them open. */
  readonly transports?: Readonly<Record<string, Transport>>;
}

export interface DispatchItem {
  readonly type: AnyMessageType;
  readonly payload: unknown;
  readonly options?: DispatchOptions;
}

/** Per message: where it went, or why it was refused. */
export type DispatchResult = DispatchReceipt | { readonly error: MessengerError };

/** The application's way in: dispatches messages, and hands out the parts that workers and tools need. */
export interface Messenger {
  readonly config: ParsedConfig;
  readonly registry: MessageRegistry;
  readonly handlers: HandlerRegistry;
  readonly router: Router;
  readonly bus: MessageBus;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** What was sent, received and handled through this messenger. */
  readonly meter: Meter;
  /**
   * Sends one message; resolves when it is durable. Concurrent calls share a round trip.
   *
   * @throws {ValidationError} `PAYLOAD_INVALID` with every issue and its path.
   * @throws {MessengerError} `DISPATCH_OPTIONS_INVALID`, `PAYLOAD_NOT_JSON`, `PAYLOAD_TOO_LARGE`, `PAYLOAD_TOO_DEEP`,
   *   `ROUTE_NOT_FOUND`, `IDEMPOTENCY_CONFLICT`, `TRANSPORT_UNAVAILABLE`, `MESSENGER_CLOSED`.
   */
  dispatch<Input>(type: MessageType<Input, unknown>, payload: Input, options?: DispatchOptions): Promise<DispatchReceipt>;
  /** The same for many at once; never rejects for a single message, one result per item in the same order. */
  dispatchMany(items: readonly DispatchItem[]): Promise<readonly DispatchResult[]>;
  /** @throws {MessengerError} `TRANSPORT_NOT_FOUND` */
  transport(name: string): Transport;
  /** Names of the transports that can be consumed from; sync transports cannot. */
  readonly transportNames: readonly string[];
  serializer(transport: string): Serializer;
  retryStrategy(type: string, transport: string): RetryStrategy;
  /** Creates what the transports need; idempotent. */
  setUp(options?: { dryRun?: boolean }): Promise<Readonly<Record<string, readonly string[]>>>;
  /** Flushes and disconnects. Idempotent; `dispatch` rejects afterwards. */
  close(): Promise<void>;
}

const BUS = "default";

/**
 * Makes a messenger from a configuration and connects its transports.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 * @throws {TransportError} `TRANSPORT_UNAVAILABLE` when a store cannot be reached.
 */
export async function createMessenger(config: MessengerConfig, options: MessengerOptions = {}): Promise<Messenger> {
  const parsed = parseConfig(config);
  const messenger = new ConfiguredMessenger(parsed, options);
  await messenger.connect();
  return messenger;
}

class ConfiguredMessenger implements Messenger {
  readonly config: ParsedConfig;
  readonly registry: MessageRegistry;
  readonly handlers: HandlerRegistry;
  readonly router: Router;
  readonly bus: MessageBus;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly #options: MessengerOptions;
  readonly #senders = new Map<string, Sender>();
  readonly #transports = new Map<string, Transport>();
  readonly #serializers = new Map<string, Serializer>();
  readonly #strategies = new Map<string, RetryStrategy>();
  #closed = false;

  constructor(config: ParsedConfig, options: MessengerOptions) {
    this.config = config;
    this.#options = options;
    this.runtime = options.runtime ?? systemRuntime;
    this.logger = options.logger ?? silentLogger;
    this.meter = options.meter ?? new Meter();
    this.registry = new MessageRegistry(config.messages);
    this.handlers = new HandlerRegistry(config.handlers);
    this.router = new Router(config.routing);
    this.bus = new MessageBus(BUS, [
      ...config.middleware,
      validate(this.registry),
      route(this.router, (name) => this.#sender(name), { clock: this.runtime.clock, metrics: new MessageMetrics(this.meter) }),
      handle(this.handlers, (envelope, handler) => new EnvelopeContext(envelope, handler, this.#dispatchFrom)),
    ]);
  }

  get transportNames(): readonly string[] {
    return [...this.#transports.keys()];
  }

  async connect(): Promise<void> {
    const names = Object.keys(this.config.transports);
    const results = await Promise.allSettled(names.map((name) => this.#connectOne(name)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return;
    await this.close();
    throw failed.reason;
  }

  dispatch<Input>(type: MessageType<Input, unknown>, payload: Input, options: DispatchOptions = {}): Promise<DispatchReceipt> {
    const parent = currentAttempt.getStore()?.received.envelope;
    return this.#send(type, payload, options, parent);
  }

  async dispatchMany(items: readonly DispatchItem[]): Promise<readonly DispatchResult[]> {
    const parent = currentAttempt.getStore()?.received.envelope;
    const results = await Promise.allSettled(items.map((item) => this.#send(item.type, item.payload, item.options ?? {}, parent)));
    return results.map((result) => (result.status === "fulfilled" ? result.value : { error: toMessengerError(result.reason) }));
  }

  transport(name: string): Transport {
    const transport = this.#transports.get(name);
    if (transport !== undefined) return transport;
    throw new MessengerError(
      "TRANSPORT_NOT_FOUND",
      `no transport "${name}" to consume from; configured: ${this.transportNames.join(", ")}`,
      { details: { transport: name } },
    );
  }

  serializer(transport: string): Serializer {
    return this.#serializers.get(transport) ?? createJsonSerializer();
  }

  retryStrategy(type: string, transport: string): RetryStrategy {
    const key = `${transport}\n${type}`;
    let strategy = this.#strategies.get(key);
    if (strategy === undefined) {
      strategy = toStrategy(this.registry.get(type)?.retry ?? this.config.transports[transport]?.retry);
      this.#strategies.set(key, strategy);
    }
    return strategy;
  }

  async setUp(options: { dryRun?: boolean } = {}): Promise<Readonly<Record<string, readonly string[]>>> {
    const steps: Record<string, readonly string[]> = {};
    for (const [name, transport] of this.#transports) steps[name] = isSetUpAble(transport) ? await transport.setUp(options) : [];
    return steps;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const own = [...this.#transports].filter(([name]) => this.#options.transports?.[name] === undefined);
    await Promise.all(own.map(([, transport]) => (isCloseable(transport) ? transport.close() : undefined)));
  }

  readonly #dispatchFrom = (
    type: AnyMessageType,
    payload: unknown,
    options: DispatchOptions,
    parent: Envelope,
    db: unknown,
  ): Promise<DispatchReceipt> =>
    this.#send(type, payload, db === undefined || options.transaction !== undefined ? options : { ...options, transaction: db }, parent);

  async #send(type: AnyMessageType, payload: unknown, options: DispatchOptions, parent: Envelope | undefined): Promise<DispatchReceipt> {
    if (this.#closed) throw new MessengerError("MESSENGER_CLOSED", "the messenger is closed: dispatch before close()");
    const { clock, newId } = this.runtime;
    const now = clock.now();
    const id = newId();
    const line = parent?.last(lineage);
    const envelope = Envelope.wrap({ type: type.name, payload }, [
      messageId({ id }),
      busName({ bus: BUS }),
      dispatched({ at: now }),
      typeVersion({ version: type.version }),
      lineage(
        parent === undefined
          ? { root: id, depth: 0 }
          : { root: line?.root ?? id, parent: parent.last(messageId)?.id ?? id, depth: (line?.depth ?? 0) + 1 },
      ),
      ...toStamps(type, options, now),
    ]);
    return toReceipt(id, await this.bus.dispatch(envelope));
  }

  #sender(name: string): Sender {
    const sender = this.#senders.get(name);
    if (sender !== undefined) return sender;
    throw new MessengerError("TRANSPORT_NOT_FOUND", `no transport "${name}"; configured: ${[...this.#senders.keys()].join(", ")}`, {
      details: { transport: name },
    });
  }

  async #connectOne(name: string): Promise<void> {
    const config = this.config.transports[name];
    if (config === undefined) return;
    const serializer = config.serializer ?? createJsonSerializer();
    this.#serializers.set(name, serializer);
    if (schemeOf(config.dsn) === "sync") {
      this.#senders.set(
        name,
        createSyncTransport(name, () => this.bus),
      );
      return;
    }
    const transport = this.#options.transports?.[name] ?? (await this.#create(name, config.dsn, config.options, serializer));
    this.#transports.set(name, transport);
    this.#senders.set(name, transport);
  }

  async #create(name: string, dsn: string, options: Readonly<Record<string, unknown>>, serializer: Serializer): Promise<Transport> {
    const factory = await findFactory(name, dsn, [...(this.#options.transportFactories ?? []), memoryTransportFactory]);
    const { runtime, logger } = this;
    return factory.create({ name, dsn, options, serializer, runtime, logger, queues: this.#queuesOf(name) });
  }

  /** Queues of the message types that are routed here, and those of the configuration. */
  #queuesOf(transport: string): readonly string[] {
    const routed = this.registry.all().filter((type) => this.router.find(type.name)?.includes(transport) ?? false);
    return [...new Set([DEFAULT_QUEUE, ...this.config.queues, ...routed.map((type) => type.queue)])];
  }
}

function toReceipt(id: string, envelope: Envelope): DispatchReceipt {
  const first = envelope.last(sent);
  const at = envelope.last(scheduled)?.at;
  return {
    messageId: first?.id ?? id,
    transport: first?.transport ?? "",
    queue: first?.queue ?? "",
    duplicate: first?.duplicate ?? false,
    ...(at === undefined ? {} : { scheduledAt: new Date(at) }),
  };
}

function toStrategy(retry: RetryOptions | RetryStrategy | undefined): RetryStrategy {
  if (retry === undefined) return multiplierRetry();
  return isRetryStrategy(retry) ? retry : multiplierRetry(retry);
}

function toMessengerError(reason: unknown): MessengerError {
  return reason instanceof MessengerError ? reason : new MessengerError("TRANSPORT_FAILED", "the message was not sent", { cause: reason });
}
