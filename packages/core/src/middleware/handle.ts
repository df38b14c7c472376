import type { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import type { HandlerContext, HandlerDescriptor, HandlerRegistry } from "../handlers.ts";
import { handled, received, redelivery } from "../stamps.ts";
import type { Middleware } from "./chain.ts";

/** One or more handlers threw; the others ran all the same. */
export class HandlerFailedError extends MessengerError {
  readonly failures: readonly { readonly handler: string; readonly error: unknown }[];
  /** Names of the handlers that succeeded in this attempt. */
  readonly handled: readonly string[];

  constructor(type: string, failures: readonly { handler: string; error: unknown }[], done: readonly string[]) {
    const names = failures.map((failure) => failure.handler).join(", ");
    super("HANDLER_FAILED", `message "${type}" failed in ${names}`, { cause: failures[0]?.error, details: { type, handlers: names } });
    this.failures = failures;
    this.handled = done;
  }
}

export type ContextFactory = (envelope: Envelope, handler: HandlerDescriptor) => HandlerContext;

/**
 * Runs every handler of the message, high priority first; one that throws does not keep the others from running.
 * Handlers that succeeded in an earlier attempt are left out.
 *
 * @param busOf - Name of the bus that an envelope is on.
 * @throws {MessengerError} `HANDLER_NOT_FOUND`, unless that is allowed.
 * @throws {HandlerFailedError} `HANDLER_FAILED` with all failures.
 */
export function handle(
  handlers: HandlerRegistry,
  createContext: ContextFactory,
  busOf: (envelope: Envelope) => string,
  allowNoHandlers: boolean,
): Middleware {
  return async (envelope, next) => {
    const origin = envelope.last(received);
    const bus = busOf(envelope);
    const all = handlers.for(envelope.message.type, { bus, ...(origin === undefined ? {} : { transport: origin.transport }) });
    if (all.length === 0) {
      if (allowNoHandlers) return next(envelope);
      throw new MessengerError("HANDLER_NOT_FOUND", `no handler for message "${envelope.message.type}"`, {
        details: { type: envelope.message.type },
      });
    }
    const before = envelope.last(redelivery)?.handled ?? [];
    const failures: { handler: string; error: unknown }[] = [];
    let result = envelope;
    for (const handler of all) {
      if (before.includes(handler.name)) continue;
      try {
        const value: unknown = await handler.handle(envelope.message.payload, createContext(envelope, handler));
        result = result.with(handled({ handler: handler.name, result: value }));
      } catch (error) {
        failures.push({ handler: handler.name, error });
      }
    }
    if (failures.length > 0)
      throw new HandlerFailedError(
        envelope.message.type,
        failures,
        result.all(handled).map((stamp) => stamp.handler),
      );
    return next(result);
  };
}
