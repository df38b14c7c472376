import { currentAttempt, execution } from "../attempt.ts";
import { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import type { HandlerContext, HandlerDescriptor, HandlerRegistry } from "../handlers.ts";
import { type HeldDispatch, type Holder, inPlaceRun, sendHeld } from "../held-dispatches.ts";
import { handled, received, redelivery } from "../stamps.ts";
import { END, type Step } from "./chain.ts";

/** A chain of causes may be a circle. */
const DEEPEST_CAUSE = 16;

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

  /** What was thrown of this class, also as the cause of another error or in an `AggregateError`. */
  wrapped<E>(type: abstract new (...args: never[]) => E): readonly E[] {
    const found = new Set<unknown>();
    const look = (error: unknown, depth: number): void => {
      if (depth > DEEPEST_CAUSE || found.has(error)) return;
      if (error instanceof type) found.add(error);
      if (error instanceof AggregateError) for (const each of error.errors) look(each, depth + 1);
      if (error instanceof Error && error.cause !== undefined) look(error.cause, depth + 1);
    };
    for (const { error } of this.failures) look(error, 0);
    return [...found] as E[];
  }
}

export type ContextFactory = (envelope: Envelope, handler: HandlerDescriptor) => HandlerContext;

/**
 * Runs every handler of the message, high priority first; one that throws does not keep the others from running.
 * Handlers that succeeded in an earlier attempt are left out. What a handler dispatched with `afterCurrent` is sent when
 * all have run and this one succeeded; what a middleware did, when all succeeded.
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
): Step {
  const run = (envelope: Envelope): Envelope | Promise<Envelope> => {
    const all = handlers.for(envelope.message.type, { bus: busOf(envelope), transport: envelope.last(received)?.transport });
    if (all.length === 0) {
      if (allowNoHandlers) return envelope;
      throw new MessengerError("HANDLER_NOT_FOUND", `no handler for message "${envelope.message.type}"`, {
        details: { type: envelope.message.type },
      });
    }
    const attempt = envelope.last(execution)?.attempt;
    if (attempt !== undefined) {
      const [only] = all;
      // Nearly every message has one handler, and nearly every attempt is the first.
      if (all.length === 1 && only !== undefined && envelope.last(redelivery) === undefined)
        return runOne(envelope, only, createContext, attempt);
      return runAll(envelope, all, createContext, attempt);
    }
    const around = currentAttempt.getStore() ?? inPlaceRun.getStore();
    // Within another handler, whose success decides about what is held back here.
    if (around !== undefined) return runAll(envelope, all, createContext, around, { isInner: true });
    const holder: Holder = { held: undefined, isOver: false };
    return inPlaceRun.run(holder, () => runAll(envelope, all, createContext, holder));
  };
  return (envelope, next) => {
    const result = run(envelope);
    if (next === END) return result;
    return result instanceof Envelope ? next(result) : result.then(next);
  };
}

/**
 * As `runAll` with one handler, without the frame of an asynchronous function, which is large; and without any promise when
 * the handler has come to its end. Rejects, never throws.
 */
function runOne(
  envelope: Envelope,
  handler: HandlerDescriptor,
  createContext: ContextFactory,
  holder: Holder,
): Envelope | Promise<Envelope> {
  let value: unknown;
  try {
    value = handler.handle(envelope.message.payload, createContext(envelope, handler));
    if (!isThenable(value) && (holder.held === undefined || holder.held.length === 0)) {
      holder.isOver = true;
      return envelope.with(handled({ handler: handler.name, result: value }));
    }
  } catch (error) {
    value = Promise.reject(error);
  }
  return Promise.resolve(value).then(
    (result) => {
      holder.isOver = true;
      const done = handled({ handler: handler.name, result });
      if (holder.held === undefined || holder.held.length === 0) return envelope.with(done);
      return release(envelope, holder.held.splice(0)).then((unsent) => {
        if (unsent.length === 0) return envelope.with(done);
        throw failedIn(envelope, handler, unsent);
      });
    },
    (error: unknown) => {
      holder.isOver = true;
      holder.held?.splice(0);
      throw failedIn(envelope, handler, [error]);
    },
  );
}

const isThenable = (value: unknown): boolean =>
  ((typeof value === "object" && value !== null) || typeof value === "function") &&
  typeof (value as { readonly then?: unknown }).then === "function";

function failedIn(envelope: Envelope, { name }: HandlerDescriptor, errors: readonly unknown[]): HandlerFailedError {
  const done = envelope.all(handled).map((stamp) => stamp.handler);
  return new HandlerFailedError(
    envelope.message.type,
    errors.map((error) => ({ handler: name, error })),
    done,
  );
}

/** @throws {HandlerFailedError} */
async function runAll(
  envelope: Envelope,
  handlers: readonly HandlerDescriptor[],
  createContext: ContextFactory,
  holder: Holder,
  { isInner } = OUTERMOST,
): Promise<Envelope> {
  const before = envelope.last(redelivery)?.handled;
  // Made when they are needed, which is seldom.
  let failures: { handler: string; error: unknown }[] | undefined;
  let waiting: { readonly handler: string; readonly result: unknown; readonly held: readonly HeldDispatch[] }[] | undefined;
  let result = envelope;
  for (const handler of handlers) {
    if (before?.includes(handler.name) === true) continue;
    const from = holder.held?.length ?? 0;
    try {
      const value: unknown = await handler.handle(envelope.message.payload, createContext(envelope, handler));
      if (isInner || holder.held === undefined || holder.held.length === from)
        result = result.with(handled({ handler: handler.name, result: value }));
      else {
        waiting ??= [];
        waiting.push({ handler: handler.name, result: value, held: holder.held.splice(from) });
      }
    } catch (error) {
      holder.held?.splice(from);
      failures ??= [];
      failures.push({ handler: handler.name, error });
    }
  }
  if (!isInner) holder.isOver = true;
  for (const { handler, result: value, held } of waiting ?? []) {
    const unsent = await release(envelope, held);
    if (unsent.length === 0) result = result.with(handled({ handler, result: value }));
    else failures = [...(failures ?? []), ...unsent.map((error) => ({ handler, error }))];
  }
  // What own middleware held back on the way here waits for all handlers.
  if (!isInner && failures === undefined && holder.held !== undefined && holder.held.length > 0) {
    const unsent = await release(envelope, holder.held.splice(0));
    if (unsent.length > 0) failures = unsent.map((error) => ({ handler: handlers[0]?.name ?? "", error }));
  }
  if (failures === undefined) return result;
  const done = result.all(handled).map((stamp) => stamp.handler);
  throw new HandlerFailedError(envelope.message.type, failures, done);
}

const OUTERMOST = { isInner: false };

/** Resolves with what went wrong. After its time or its lease, the attempt counts for nothing: whoever has the message next sends. */
async function release(envelope: Envelope, held: readonly HeldDispatch[]): Promise<unknown[]> {
  if (envelope.last(execution)?.attempt.cause === undefined) return sendHeld(held);
  return [new MessengerError("INTERRUPTED", "the attempt was aborted before what it held back was sent")];
}
