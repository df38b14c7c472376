import type { DispatchItem, DispatchOptions, DispatchReceipt, DispatchResult, HandleOptions } from "./dispatch-options.ts";
import type { Envelope } from "./envelope.ts";
import type { MessageType } from "./message.ts";
import { asPromise, compose, type Middleware, type Onward, type Step } from "./middleware/chain.ts";

/** A way in for messages: those of one bus pass through the middleware of that bus, here and where they are handled. */
export interface Bus {
  readonly name: string;
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
  /**
   * Asks a question: runs the one handler of the message in place, through the same middleware, and resolves with what
   * it returned. Nothing is stored and nothing is tried again.
   *
   * @throws {ValidationError} `PAYLOAD_INVALID`
   * @throws {MessengerError} `HANDLER_NOT_FOUND`, `HANDLER_AMBIGUOUS` (nothing was run), `RESULT_INVALID`.
   * @throws {HandlerFailedError} `HANDLER_FAILED`; what the handler threw is its `cause`.
   */
  handle<Input, Result>(type: MessageType<Input, unknown, Result>, payload: Input, options?: HandleOptions): Promise<Result>;
}

/**
 * Dispatches envelopes through the middleware chain: own middleware, then validate, route and handle. The same chain
 * runs for a message that is sent and for one that was received.
 */
export class MessageBus {
  readonly name: string;
  /** A message that nobody handles counts as handled. */
  readonly allowNoHandlers: boolean;
  readonly #run: Onward;

  /** @param options.steps - The library's own, after all middleware. */
  constructor(
    name: string,
    middleware: readonly Middleware[],
    options: { readonly allowNoHandlers?: boolean; readonly steps?: readonly Step[] } = {},
  ) {
    this.name = name;
    this.allowNoHandlers = options.allowNoHandlers ?? false;
    this.#run = compose(middleware, options.steps);
  }

  /** Resolves with the envelope and the stamps that it got on its way. Rejects with what a step threw. */
  dispatch(envelope: Envelope): Promise<Envelope> {
    return asPromise(this.#run(envelope));
  }

  /** As `dispatch`, without a promise where nothing had to be waited for. Never throws. */
  run(envelope: Envelope): Envelope | Promise<Envelope> {
    return this.#run(envelope);
  }
}
