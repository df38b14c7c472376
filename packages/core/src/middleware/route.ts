import type { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import type { Router } from "../routing.ts";
import { received, sent, transaction, transportNames } from "../stamps.ts";
import type { Sender } from "../transport.ts";
import type { Middleware } from "./chain.ts";

/**
 * Picks the transports of a message and sends it; a message that came from a transport goes on to its handlers.
 *
 * @throws {MessengerError} `ROUTE_NOT_FOUND`, `TRANSPORT_NOT_FOUND`, or what the transport refused the message with.
 */
export function route(router: Router, sender: (name: string) => Sender): Middleware {
  return async (envelope, next) => {
    if (envelope.last(received) !== undefined) return next(envelope);
    const names = envelope.last(transportNames)?.names ?? router.route(envelope.message.type);
    let result = envelope;
    for (const name of names) result = result.with(sent(await sendTo(name, sender(name), envelope)));
    return result;
  };
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
