import type { Bus } from "./bus.ts";
import { Buses } from "./buses.ts";
import { type Runtime, systemRuntime } from "./clock.ts";
import { type MessengerConfig, type ParsedConfig, parseConfig } from "./config.ts";
import { EnvelopeContext } from "./context.ts";
import type { DispatchItem, DispatchOptions, DispatchReceipt, DispatchResult, HandleOptions } from "./dispatch-options.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Envelope } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import { type CarryHome, isForwardable } from "./failure-transport/forwarding.ts";
import { HandlerRegistry } from "./handlers.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { type AnyMessageType, DEFAULT_QUEUE, isRetryStrategy, MessageRegistry, type MessageType, type RetryOptions } from "./message.ts";
import { type Cancellation, cancelMessage } from "./message-control.ts";
import { type ContextFactory, handle } from "./middleware/handle.ts";
import { route, type SendObserver } from "./middleware/route.ts";
import { validate } from "./middleware/validate.ts";
import { ResetGate } from "./resets.ts";
import { multiplierRetry } from "./retry/multiplier.ts";
import type { RetryStrategy } from "./retry/strategy.ts";
import { Router } from "./routing.ts";
import { createJsonSerializer, type Serializer } from "./serializer.ts";
import { received } from "./stamps.ts";
import { MessageMetrics } from "./telemetry/message-metrics.ts";
import { Meter } from "./telemetry/meter.ts";
import { Tracing } from "./telemetry/tracing.ts";
import { isCloseable, isListable, isSetUpAble, type Sender, type Transport } from "./transport.ts";
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

/** The application's way in: dispatches messages, and hands out the parts that workers and tools need. */
export interface Messenger extends Omit<Bus, "name"> {
  readonly config: ParsedConfig;
  readonly registry: MessageRegistry;
  readonly handlers: HandlerRegistry;
  readonly router: Router;
  readonly buses: Buses;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** What was sent, received and handled through this messenger. */
  readonly meter: Meter;
  /** There when an OpenTelemetry SDK was registered before this messenger was made. */
  readonly tracing: Tracing | undefined;
  /** Resets services between messages; absent when there are none, or none is wanted. */
  readonly resets: ResetGate | undefined;
  /**
   * One of the configured buses; `messenger` itself is the default one.
   *
   * @throws {MessengerError} `DISPATCH_OPTIONS_INVALID` when there is no bus of this name.
   */
  bus(name: string): Bus;
  /**
   * Ends a message for good, on whatever node it is: one that waits is not delivered, the signal of one that runs aborts
   * with `MESSAGE_CANCELLED`, and nothing that still comes of it is recorded.
   *
   * @param options.by - Goes on record. @param options.transport - Default: the one that has it.
   * @throws {MessengerError} `TRANSPORT_NOT_FOUND`, `TRANSPORT_UNAVAILABLE`
   */
  cancel(messageId: string, options?: { transport?: string; by?: string }): Promise<Cancellation & { readonly transport?: string }>;
  /** @throws {MessengerError} `TRANSPORT_NOT_FOUND` */
  transport(name: string): Transport;
  /** Names of the transports that can be consumed from; sync transports cannot. */
  readonly transportNames: readonly string[];
  serializer(transport: string): Serializer;
  /** That of the message type, else of the queue, else of the transport, else the default one. */
  /** @param olderNames - By which the type may be known here, if not by its name. */
  retryStrategy(type: string, transport: string, queue?: string, olderNames?: readonly string[]): RetryStrategy;
  /** Creates what the transports need; idempotent. */
  setUp(options?: { dryRun?: boolean }): Promise<Readonly<Record<string, readonly string[]>>>;
  /** Flushes and disconnects. Idempotent; `dispatch` rejects afterwards. */
  close(): Promise<void>;
}

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
  readonly buses: Buses;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly resets: ResetGate | undefined;
  readonly #dispatcher: Dispatcher;
  readonly tracing: Tracing | undefined;
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
    this.tracing = Tracing.find();
    this.resets = gateOf(config, this.runtime);
    this.registry = new MessageRegistry(config.messages);
    this.handlers = new HandlerRegistry(config.handlers);
    this.router = new Router(config.routing);
    const sender = (name: string): Sender => this.#sender(name);
    const observe: SendObserver = { clock: this.runtime.clock, metrics: new MessageMetrics(this.meter) };
    const context: ContextFactory = (envelope, handler) => new EnvelopeContext(envelope, handler, this.#dispatchFrom);
    // What came from a transport, and what is handled in place.
    const busOf = (envelope: Envelope): string =>
      (envelope.last(received) === undefined ? this.buses.of(envelope) : this.buses.handling(envelope)).name;
    this.buses = new Buses(config, ({ allowNoHandlers, allowNoSenders }) => [
      validate(this.registry),
      route(this.router, sender, observe, allowNoSenders ? createSyncTransport("", () => this.buses) : undefined),
      handle(this.handlers, context, busOf, allowNoHandlers),
    ]);
    this.#dispatcher = new Dispatcher(this);
  }

  cancel(messageId: string, options: { transport?: string; by?: string } = {}): Promise<Cancellation & { readonly transport?: string }> {
    return cancelMessage(this, messageId, options);
  }

  get transportNames(): readonly string[] {
    // In the order of the configuration, whichever was connected first: the first one is meant when none is named.
    return Object.keys(this.config.transports).filter((name) => this.#transports.has(name));
  }

  async connect(): Promise<void> {
    const names = Object.keys(this.config.transports);
    const results = await Promise.allSettled(names.map((name) => this.#connectOne(name)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) {
      for (const transport of this.#transports.values()) if (isForwardable(transport)) transport.sendHomeBy(this.#carryHome);
      return;
    }
    await this.close();
    throw failed.reason;
  }

  dispatch<Input>(type: MessageType<Input, unknown>, payload: Input, options?: DispatchOptions): Promise<DispatchReceipt> {
    return this.#dispatcher.send(type, payload, options);
  }

  dispatchMany(items: readonly DispatchItem[]): Promise<readonly DispatchResult[]> {
    return this.#dispatcher.sendMany(items);
  }

  handle<Input, Result>(type: MessageType<Input, unknown, Result>, payload: Input, options?: HandleOptions): Promise<Result> {
    return this.#dispatcher.handle(type, payload, options) as Promise<Result>;
  }

  bus(name: string): Bus {
    const bus = this.buses.get(name).name;
    return {
      name,
      dispatch: (type, payload, options) => this.dispatch(type, payload, { ...options, bus }),
      dispatchMany: (items) => this.dispatchMany(items.map((item) => ({ ...item, options: { ...item.options, bus } }))),
      handle: (type, payload, options) => this.handle(type, payload, { ...options, bus }),
    };
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

  retryStrategy(type: string, transport: string, queue?: string, olderNames: readonly string[] = []): RetryStrategy {
    const key = `${transport}\n${type}\n${queue ?? ""}`;
    let strategy = this.#strategies.get(key);
    if (strategy === undefined) {
      const { retry, queueRetry = {} } = this.config.transports[transport] ?? {};
      const ofQueue = queue !== undefined && Object.hasOwn(queueRetry, queue) ? queueRetry[queue] : undefined;
      strategy = toStrategy(this.registry.find([type, ...olderNames])?.retry ?? ofQueue ?? retry);
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
    await this.#dispatcher.close();
    const own = [...this.#transports].filter(([name]) => this.#options.transports?.[name] === undefined);
    await Promise.all(own.map(([, transport]) => (isCloseable(transport) ? transport.close() : undefined)));
  }

  /** Into the dead letters of its own transport, and from there back to its queue: wherever that ends, it is in one of them. */
  readonly #carryHome: CarryHome = async (from, parcels) => {
    const home = this.#transports.get(from);
    if (home === undefined || !isForwardable(home) || !isListable(home)) return [];
    await home.importDeadLetters(parcels);
    return (await home.redriveDeadLetters({ ids: parcels.map(({ id }) => id) }, parcels.length)).redriven;
  };

  readonly #dispatchFrom = (
    type: AnyMessageType,
    payload: unknown,
    options: DispatchOptions,
    parent: Envelope,
    db: unknown,
  ): Promise<DispatchReceipt> =>
    this.#dispatcher.send(
      type,
      payload,
      db === undefined || options.transaction !== undefined ? options : { ...options, transaction: db },
      parent,
    );

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
        createSyncTransport(name, () => this.buses),
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
    return factory.create({
      name,
      dsn,
      options,
      serializer,
      runtime,
      logger,
      queues: this.#queuesOf(name),
      keyedQueues: this.#keyedQueuesOf(name),
    });
  }

  /** Queues of the message types that are routed here, and those of the configuration. */
  #queuesOf(transport: string): readonly string[] {
    const { queues, keyedQueues } = this.config;
    return [...new Set([DEFAULT_QUEUE, ...queues, ...keyedQueues, ...this.#typesOf(transport).map((type) => type.queue)])];
  }

  #keyedQueuesOf(transport: string): readonly string[] {
    const keyed = this.#typesOf(transport).filter((type) => type.partitionKey !== undefined || type.deduplicate !== undefined);
    return [...new Set([...this.config.keyedQueues, ...keyed.map((type) => type.queue)])];
  }

  #typesOf(transport: string): AnyMessageType[] {
    return this.registry.all().filter((type) => this.router.find(type.name)?.includes(transport) ?? false);
  }
}

function gateOf({ resettable: services, worker: { resetEvery: every = 1 } }: ParsedConfig, { clock }: Runtime): ResetGate | undefined {
  return every === 0 || Object.keys(services).length === 0 ? undefined : new ResetGate({ services, every, clock });
}

function toStrategy(retry: RetryOptions | RetryStrategy | undefined): RetryStrategy {
  if (retry === undefined) return multiplierRetry();
  return isRetryStrategy(retry) ? retry : multiplierRetry(retry);
}
