import type { StandardSchemaV1 } from "@standard-schema/spec";
import { currentAttempt } from "./attempt.ts";
import type { Buses } from "./buses.ts";
import type { Runtime } from "./clock.ts";
import {
  type DispatchItem,
  type DispatchOptions,
  type DispatchReceipt,
  type DispatchResult,
  type HandleOptions,
  NO_OPTIONS,
} from "./dispatch-options.ts";
import { toStamps } from "./dispatch-stamps.ts";
import { Envelope } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import type { HandlerRegistry } from "./handlers.ts";
import { inPlaceRun } from "./held-dispatches.ts";
import type { AnyMessageType } from "./message.ts";
import { busName, dispatched, handled, lineage, messageId, queueName, scheduled, sent, typeVersion } from "./stamps.ts";
import type { Tracing } from "./telemetry/tracing.ts";
import { inPlace } from "./transports/sync.ts";

/** Messages of one `dispatchMany` that are made ready before other events get their turn: a few milliseconds; as many as one insert takes. */
const IN_ONE_TURN = 500;

export interface DispatcherInput {
  readonly buses: Buses;
  readonly handlers: HandlerRegistry;
  readonly runtime: Runtime;
  readonly tracing: Tracing | undefined;
}

/** Wraps messages in envelopes and gives them to their bus. */
export class Dispatcher {
  readonly #buses: Buses;
  readonly #handlers: HandlerRegistry;
  readonly #runtime: Runtime;
  readonly #tracing: Tracing | undefined;
  #closed = false;
  /** Of `sendMany`: those of which not everything has been handed over yet. */
  readonly #handingOver = new Set<Promise<unknown>>();

  constructor({ buses, handlers, runtime, tracing }: DispatcherInput) {
    this.#buses = buses;
    this.#handlers = handlers;
    this.#runtime = runtime;
    this.#tracing = tracing;
  }

  /** Takes nothing more. Resolves when what was taken before has been handed over. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#handingOver);
  }

  /** @param parent - The message that is being handled; default: the one in whose handler the caller runs. */
  send(
    type: AnyMessageType,
    payload: unknown,
    options: DispatchOptions = NO_OPTIONS,
    parent: Envelope | undefined = currentEnvelope(),
  ): Promise<DispatchReceipt> {
    return this.#closed ? Promise.reject(closed()) : this.#trySend({ type, payload, options }, parent);
  }

  #trySend(item: DispatchItem, parent: Envelope | undefined): Promise<DispatchReceipt> {
    try {
      const { type, payload, options = NO_OPTIONS } = item;
      return this.#send(type, payload, options, parent);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** No asynchronous function, so that a thousand messages that are sent at once leave no frames of it waiting. */
  #send(type: AnyMessageType, payload: unknown, options: DispatchOptions, parent: Envelope | undefined): Promise<DispatchReceipt> {
    const { id, envelope } = this.#wrap(type, payload, options, parent);
    const run = options.afterCurrent === true ? (currentAttempt.getStore() ?? inPlaceRun.getStore()) : undefined;
    if (run?.isOver === false) {
      run.held ??= [];
      run.held.push(() => this.#dispatch(envelope));
      return Promise.resolve({ ...toReceipt(id, envelope), queue: envelope.last(queueName)?.queue ?? "", held: true });
    }
    return this.#dispatch(envelope).then((result) => toReceipt(id, result));
  }

  async sendMany(items: readonly DispatchItem[]): Promise<readonly DispatchResult[]> {
    const parent = currentEnvelope();
    const sendAll = async () => (await this.#handOver([...items], parent)).flat();
    const results = await (this.#tracing === undefined ? sendAll() : this.#tracing.sendBatch(items, sendAll));
    return results.map((result) => (result.status === "fulfilled" ? result.value : { error: toMessengerError(result.reason) }));
  }

  /** In turns, so that the store works on the first while others are made ready, and nobody's event waits for all of them. */
  async #handOver(items: readonly DispatchItem[], parent: Envelope | undefined) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const send = this.#closed ? () => Promise.reject(closed()) : (item: DispatchItem) => this.#trySend(item, parent);
    const inOneTurn = items.some(bindsItsTurn) ? items.length : IN_ONE_TURN;
    const turns: Promise<PromiseSettledResult<DispatchReceipt>[]>[] = [];
    this.#handingOver.add(promise);
    try {
      for (let from = 0; from < items.length; from += inOneTurn) {
        if (from > 0) await new Promise((next) => setImmediate(next));
        turns.push(Promise.allSettled(items.slice(from, from + inOneTurn).map(send)));
      }
    } finally {
      this.#handingOver.delete(promise);
      resolve();
    }
    return Promise.all(turns);
  }

  async handle(type: AnyMessageType, payload: unknown, options: HandleOptions = {}): Promise<unknown> {
    if (this.#closed) throw closed();
    const { envelope } = this.#wrap(type, payload, options, currentEnvelope());
    const bus = this.#buses.of(envelope);
    const found = this.#handlers.for(type.name, { bus: bus.name });
    if (found.length !== 1) throw notOne(type.name, found.length);
    const results = (await bus.dispatch(inPlace(envelope))).all(handled);
    // Own middleware may have ended the chain without asking the handler.
    if (results.length !== 1) throw notOne(type.name, results.length);
    return checkResult(type, results[0]?.result);
  }

  #dispatch(envelope: Envelope): Promise<Envelope> {
    const bus = this.#buses.of(envelope);
    return this.#tracing === undefined ? bus.dispatch(envelope) : this.#tracing.send(envelope, (traced) => bus.dispatch(traced));
  }

  #wrap(
    type: AnyMessageType,
    payload: unknown,
    options: DispatchOptions,
    parent: Envelope | undefined,
  ): { id: string; envelope: Envelope } {
    const { clock, newId } = this.#runtime;
    const now = clock.now();
    const id = newId();
    const line = parent?.last(lineage);
    const name = options.bus ?? type.bus;
    const bus = name === undefined ? this.#buses.default : this.#buses.get(name);
    const envelope = Envelope.wrap({ type: type.name, payload }, [
      // First, so that no stamp of the caller takes the place of the bus's own.
      ...toStamps(type, payload, options, now),
      messageId({ id }),
      busName({ bus: bus.name }),
      dispatched({ at: now }),
      typeVersion({ version: type.version }),
      lineage(
        parent === undefined
          ? { root: id, depth: 0 }
          : { root: line?.root ?? id, parent: parent.last(messageId)?.id ?? id, depth: (line?.depth ?? 0) + 1 },
      ),
    ]);
    return { id, envelope };
  }
}

/** Nothing of others may come between these: an order that is kept, a caller's transaction, a handler that may fail meanwhile. */
const bindsItsTurn = (item: DispatchItem | undefined): boolean =>
  item?.type?.partitionKey !== undefined ||
  item?.options?.partitionKey !== undefined ||
  item?.options?.transaction !== undefined ||
  item?.options?.afterCurrent === true;

const closed = (): MessengerError => new MessengerError("MESSENGER_CLOSED", "the messenger is closed: dispatch before close()");

const currentEnvelope = (): Envelope | undefined => currentAttempt.getStore()?.received.envelope;

function notOne(type: string, count: number): MessengerError {
  if (count === 0) return new MessengerError("HANDLER_NOT_FOUND", `nobody here answers "${type}"`, { details: { type } });
  return new MessengerError("HANDLER_AMBIGUOUS", `"${type}" has ${count} handlers: a query needs exactly one`, {
    details: { type, count },
  });
}

async function checkResult(type: AnyMessageType, result: unknown): Promise<unknown> {
  if (type.result === undefined) return result;
  const checked: StandardSchemaV1.Result<unknown> = await type.result["~standard"].validate(result);
  if (checked.issues === undefined) return checked.value;
  throw new MessengerError(
    "RESULT_INVALID",
    `the handler of "${type.name}" returned what its type forbids: ${checked.issues.map((issue) => issue.message).join("; ")}`,
    { details: { type: type.name } },
  );
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

function toMessengerError(reason: unknown): MessengerError {
  return reason instanceof MessengerError ? reason : new MessengerError("TRANSPORT_FAILED", "the message was not sent", { cause: reason });
}
