import type { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";

export type Next = (envelope: Envelope) => Promise<Envelope>;

/**
 * One step around dispatching and around handling: the same chain runs at both ends, and `envelope.last(received)` tells
 * which end it is. Pass the envelope on with `next(envelope)`, or return without it to end the chain.
 */
export type Middleware = (envelope: Envelope, next: Next) => Promise<Envelope>;

/**
 * Composes middleware into one function; the last step gets a `next` that returns the envelope.
 *
 * @throws {MessengerError} `MIDDLEWARE_MISUSED` when a middleware calls `next` twice: the rest of the chain would run twice.
 */
export function compose(middleware: readonly Middleware[]): Next {
  return middleware.reduceRight<Next>(
    (next, step) => (envelope) => {
      try {
        return step(envelope, once(next));
      } catch (error) {
        // A step that is no async function and throws: the caller of a chain has to look in one place only.
        return Promise.reject(error);
      }
    },
    (envelope) => Promise.resolve(envelope),
  );
}

function once(next: Next): Next {
  let called = false;
  return (envelope) => {
    if (called) return Promise.reject(new MessengerError("MIDDLEWARE_MISUSED", "a middleware called next() twice"));
    called = true;
    return next(envelope);
  };
}
