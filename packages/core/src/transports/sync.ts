import type { Buses } from "../buses.ts";
import type { Envelope } from "../envelope.ts";
import { MessengerError } from "../errors.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import { messageId, queueName, received } from "../stamps.ts";
import type { Sender, SendResult } from "../transport.ts";

/** The name of no transport: that of messages that are handled in place without one. */
const NONE = "";

/**
 * Handles messages in place, while the caller waits: same middleware, same handlers, no queue and no retries. A handler
 * that throws makes `dispatch` reject. A delay is not waited for.
 */
export function createSyncTransport(name: string, buses: () => Buses): Sender {
  return {
    send: (envelopes) => Promise.all(envelopes.map((envelope) => handleNow(buses(), inPlace(envelope, name)))),
  };
}

async function handleNow(buses: Buses, envelope: Envelope): Promise<SendResult> {
  const { id, queue } = address(envelope);
  try {
    await buses.of(envelope).dispatch(envelope);
    return { kind: "accepted", id, queue };
  } catch (error) {
    if (error instanceof MessengerError) return { kind: "refused", error };
    return { kind: "refused", error: new MessengerError("HANDLER_FAILED", "a handler of the sync transport failed", { cause: error }) };
  }
}

/** The envelope as if it had come from a transport: it goes to its handlers and not to another transport. */
export function inPlace(envelope: Envelope, transport = NONE): Envelope {
  const { id, queue } = address(envelope);
  return envelope.with(received({ transport, queue, receipt: { id, queue, fence: 0 } }));
}

function address(envelope: Envelope): { id: string; queue: string } {
  return { id: envelope.last(messageId)?.id ?? "", queue: envelope.last(queueName)?.queue ?? DEFAULT_QUEUE };
}
