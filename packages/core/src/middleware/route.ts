import type { Clock } from "../clock.ts";
import type { Envelope, Stamp } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import type { Router } from "../routing.ts";
import { queueName, received, sent, transaction, transportNames } from "../stamps.ts";
import type { MessageMetrics } from "../telemetry/message-metrics.ts";
import type { Sender, SendResult } from "../transport.ts";
import type { Step } from "./chain.ts";

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
export function route(router: Router, sender: (name: string) => Sender, observe: SendObserver, unrouted?: Sender): Step {
  const send = (envelope: Envelope): Promise<Envelope> => {
    const chosen = envelope.last(transportNames)?.names;
    if (unrouted !== undefined && chosen === undefined && router.find(envelope.message.type) === undefined)
      return give(unrouted, envelope).then(([result]) => {
        if (result === undefined || result.kind === "refused") throw refusal("", result);
        return envelope.with(toStamp("", result));
      });
    const names = chosen ?? router.route(envelope.message.type);
    const [only] = names;
    if (names.length === 1 && only !== undefined)
      return observed(only, sender(only), envelope, observe).then((stamp) => envelope.with(stamp));
    return sendToAll(names, envelope);
  };
  const sendToAll = async (names: readonly string[], envelope: Envelope): Promise<Envelope> => {
    let result = envelope;
    for (const name of names) result = result.with(await observed(name, sender(name), envelope, observe));
    return result;
  };
  return (envelope, next) => (envelope.last(received) === undefined ? send(envelope) : next(envelope));
}

// Callbacks on the way of each message, and no asynchronous functions: of a thousand that are sent at once, all frames
// would be there until the store has answered.

function observed(name: string, sender: Sender, envelope: Envelope, { clock, metrics }: SendObserver): Promise<Stamp> {
  const startedAt = clock.monotonic();
  const failed = (error: unknown): never => {
    metrics.sent(envelope.last(queueName)?.queue ?? DEFAULT_QUEUE, clock.monotonic() - startedAt, error);
    throw error;
  };
  return give(sender, envelope).then(([result]) => {
    if (result === undefined || result.kind === "refused") return failed(refusal(name, result));
    metrics.sent(result.queue, clock.monotonic() - startedAt);
    return toStamp(name, result);
  }, failed);
}

/** Rejects, never throws. */
function give(sender: Sender, envelope: Envelope): Promise<readonly SendResult[]> {
  const client = envelope.last(transaction)?.client;
  try {
    return sender.send([envelope], client === undefined ? undefined : { transaction: client });
  } catch (error) {
    return Promise.reject(error);
  }
}

const toStamp = (transport: string, { queue, id, kind }: Exclude<SendResult, { readonly kind: "refused" }>): Stamp =>
  sent({ transport, queue, id, duplicate: kind === "duplicate" });

const refusal = (name: string, result: Extract<SendResult, { readonly kind: "refused" }> | undefined): MessengerError =>
  result?.error ?? new MessengerError("TRANSPORT_FAILED", `transport "${name}" reported nothing for a message it was given`);
