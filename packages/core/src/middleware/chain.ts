import { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";

export type Next = (envelope: Envelope) => Promise<Envelope>;

/**
 * One step around dispatching and around handling: the same chain runs at both ends, and `envelope.last(received)` tells
 * which end it is. Pass the envelope on with `next(envelope)`, or return without it to end the chain.
 */
export type Middleware = (envelope: Envelope, next: Next) => Promise<Envelope>;

/** What is to come; what waits for nothing is there when it returns, and costs no promise. Never throws. */
export type Onward = (envelope: Envelope) => Envelope | Promise<Envelope>;

/** A step of the library's own: like a middleware. */
export type Step = (envelope: Envelope, next: Onward) => Envelope | Promise<Envelope>;

/**
 * Composes middleware into one function; the last step gets a `next` that returns the envelope.
 *
 * @param steps - The library's own, after all others; they are trusted to call `next` once.
 * @throws {MessengerError} `MIDDLEWARE_MISUSED` when a middleware calls `next` twice: the rest of the chain would run twice.
 */
export function compose(middleware: readonly Middleware[], steps: readonly Step[] = []): Onward {
  const inner = steps.reduceRight<Onward>((next, step) => guarded(step, () => next), END);
  return middleware.reduceRight<Onward>((next, step) => guarded(step, () => once(next)), inner);
}

/** The end of every chain. */
export const END: Onward = (envelope) => envelope;

function guarded<Following extends Onward>(
  step: (envelope: Envelope, next: Following) => Envelope | Promise<Envelope>,
  next: () => Following,
): Onward {
  return (envelope) => {
    try {
      return step(envelope, next());
    } catch (error) {
      // A step that is no async function and throws: the caller of a chain has to look in one place only.
      return Promise.reject(error);
    }
  };
}

function once(next: Onward): Next {
  let called = false;
  return (envelope) => {
    if (called) return Promise.reject(new MessengerError("MIDDLEWARE_MISUSED", "a middleware called next() twice"));
    called = true;
    return asPromise(next(envelope));
  };
}

export const asPromise = (envelope: Envelope | Promise<Envelope>): Promise<Envelope> =>
  envelope instanceof Envelope ? Promise.resolve(envelope) : envelope;
