import type { MessageBus } from "../bus.ts";
import { MessengerError } from "../errors.ts";
import { DEFAULT_QUEUE } from "../message.ts";
import { messageId, queueName, received } from "../stamps.ts";
import type { Sender, SendResult } from "../transport.ts";

/**
 * Handles messages in place, while the caller waits: same middleware, same handlers, no queue and no retries. A handler
 * that throws makes `dispatch` reject.
 */
export function createSyncTransport(name: string, bus: () => MessageBus): Sender {
  return {
    send: (envelopes) =>
      Promise.all(
        envelopes.map(async (envelope): Promise<SendResult> => {
          const id = envelope.last(messageId)?.id ?? "";
          const queue = envelope.last(queueName)?.queue ?? DEFAULT_QUEUE;
          try {
            await bus().dispatch(envelope.with(received({ transport: name, queue, receipt: { id, queue, fence: 0 } })));
            return { kind: "accepted", id, queue };
          } catch (error) {
            if (error instanceof MessengerError) return { kind: "refused", error };
            return {
              kind: "refused",
              error: new MessengerError("HANDLER_FAILED", "a handler of the sync transport failed", { cause: error }),
            };
          }
        }),
      ),
  };
}
