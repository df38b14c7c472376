import type { Executor, HandlerDescriptor, Messenger, Outcome, Received } from "@symphony/core";

export interface RoutedExecutorOptions {
  readonly messenger: Messenger;
  /** Where the messages come from. */
  readonly transport: string;
  /** For messages all of whose handlers are `inline`, and for what no handler will see. */
  readonly inline: Executor;
  /** For all others. */
  readonly threads: Executor;
  /** Attempts at a time over both. */
  readonly size: number;
}

/** Whether any handler for messages of this transport wants a thread. */
export function needsThreads(messenger: Messenger, transport: string): boolean {
  return messenger.handlers.all().some((handler) => handler.execution === "thread" && isFrom(handler, transport));
}

const isFrom = (handler: HandlerDescriptor, transport: string): boolean =>
  handler.fromTransport === undefined || handler.fromTransport === transport;

/**
 * Gives each message to the executor that its handlers ask for: in this process when every one of them is `inline`, else
 * in a thread. What cannot be decoded, or has no handler, ends here: no user code runs for it.
 */
export function createRoutedExecutor(options: RoutedExecutorOptions): Executor {
  return new RoutedExecutor(options);
}

class RoutedExecutor implements Executor {
  readonly size: number;
  readonly #o: RoutedExecutorOptions;
  /** Bus, then message name → where it runs; the handlers do not change while the program runs. */
  readonly #routes = new Map<string, Map<string, Executor>>();

  constructor(options: RoutedExecutorOptions) {
    this.#o = options;
    this.size = options.size;
  }

  execute(received: Received, signal: AbortSignal): Outcome | Promise<Outcome> {
    return this.#route(received).execute(received, signal);
  }

  cancel(received: Received): void {
    this.#route(received).cancel?.(received);
  }

  flush(): void {
    this.#o.threads.flush?.();
  }

  async close(): Promise<void> {
    await Promise.all([this.#o.inline.close(), this.#o.threads.close()]);
  }

  #route(received: Received): Executor {
    const { messenger } = this.#o;
    const { outline } = received;
    // Mostly it is read in its thread, and nowhere else.
    const known = outline === undefined ? undefined : this.#routes.get(messenger.buses.handlingFor(outline.bus).name)?.get(outline.type);
    if (known !== undefined) return known;
    const { envelope } = received;
    if (envelope === undefined) return this.#o.inline;
    const bus = messenger.buses.handling(envelope).name;
    let routes = this.#routes.get(bus);
    let executor = routes?.get(envelope.message.type);
    if (executor === undefined) {
      const type = messenger.registry.typeOf(envelope);
      executor = type !== undefined && this.#wantsThread(type.name, bus) ? this.#o.threads : this.#o.inline;
      // Only what is registered is remembered: names that senders make up must not fill the memory.
      if (type !== undefined) {
        routes ??= new Map();
        this.#routes.set(bus, routes.set(envelope.message.type, executor));
      }
    }
    return executor;
  }

  #wantsThread(type: string, bus: string): boolean {
    const { messenger, transport } = this.#o;
    const handlers = messenger.handlers.for(type, { transport, bus });
    return handlers.some((handler) => handler.execution === "thread");
  }
}
