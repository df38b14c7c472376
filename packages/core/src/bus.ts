import type { Envelope } from "./envelope.ts";
import { compose, type Middleware, type Next } from "./middleware/chain.ts";

/**
 * Dispatches envelopes through the middleware chain: own middleware, then validate, route and handle. The same chain
 * runs for a message that is sent and for one that was received.
 */
export class MessageBus {
  readonly name: string;
  readonly #run: Next;

  constructor(name: string, middleware: readonly Middleware[]) {
    this.name = name;
    this.#run = compose(middleware);
  }

  /** Resolves with the envelope and the stamps that it got on its way. Rejects with what a step threw. */
  dispatch(envelope: Envelope): Promise<Envelope> {
    return this.#run(envelope);
  }
}
