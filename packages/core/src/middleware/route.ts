import type { Clock } from "../clock.ts";
import type { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import type { Router } from "../routing.ts";
import { queueName, received, sent, transaction, transportNames } from "../stamps.ts";
import type { MessageMetrics } from "../telemetry/message-metrics.ts";
import type { Sender } from "../transport.ts";
import type { Middleware } from "./chain.ts";

/** Counts and times what is sent. */
export interface SendObserver {
  readonly clock: Clock;
  readonly metrics: MessageMetrics;
}

/**
 * Picks the transports of a message and sends it; a message that came from a transport goes on to its handlers.
 *
 * @param unrouted - Takes the messages that no route leads anywhere; without it such a message is refused.
 * @throws {MessengerError} `ROUTE_NOT_FOUND`, `TRANSPORT_NOT_FOUND`, or what the transport refused the message with.
 */
export function route(router: Router, sender: (name: string) => Sender, observe: SendObserver, unrouted?: Sender): Middleware {
  const send: Middleware = async (envelope) => {
    const chosen = envelope.last(transportNames)?.names;
    if (unrouted !== undefined && chosen === undefined && router.find(envelope.message.type) === undefined)
      return envelope.with(sent(await sendTo("", unrouted, envelope)));
    const names = chosen ?? router.route(envelope.message.type);
    let result = envelope;
    for (const name of names) result = result.with(sent(await observed(envelope, observe, () => sendTo(name, sender(name), envelope))));
    return result;
  };
  return (envelope, next) => (envelope.last(received) === undefined ? send(envelope, next) : next(envelope));
}

async function observed<T extends { readonly queue: string }>(envelope: Envelope, o: SendObserver, send: () => Promise<T>): Promise<T> {
  const startedAt = o.clock.monotonic();
  try {
    const result = await send();
    o.metrics.sent(result.queue, o.clock.monotonic() - startedAt);
    return result;
  } catch (error) {
    o.metrics.sent(envelope.last(queueName)?.queue ?? DEFAULT_QUEUE, o.clock.monotonic() - startedAt, error);
    throw error;
  }
}

async function sendTo(
  name: string,
  sender: Sender,
  envelope: Envelope,
): Promise<{ transport: string; queue: string; id: string; duplicate: boolean }> {
  const client = envelope.last(transaction)?.client;
  const [result] = await sender.send([envelope], client === undefined ? undefined : { transaction: client });
  if (result === undefined) throw new MessengerError("TRANSPORT_FAILED", `transport "${name}" reported nothing for a message it was given`);
  if (result.kind === "refused") throw result.error;
  return { transport: name, queue: result.queue, id: result.id, duplicate: result.kind === "duplicate" };
}
