import { defineHandler } from "@symphony/core";
import { SubscriberDeliver } from "../messages.ts";
import { SUBSCRIBER_SECRET, subscriberUrl } from "../settings.ts";
import { sign } from "../signature.ts";

/** Milliseconds that a subscriber has for its answer. */
const ANSWER_WITHIN_MS = 800;

/** A subscriber did not take the webhook; worth another attempt. */
class SubscriberError extends Error {
  override readonly name = "SubscriberError";
}

/**
 * Sends an activity to a subscriber. It may be sent twice (the worker dies between the answer and its acknowledgement),
 * so it carries the message's id, which is the same each time, and the subscriber can tell.
 *
 * Inline: it waits for the network and computes next to nothing, a thread would only add a copy.
 */
export const deliverToSubscriber = defineHandler(
  SubscriberDeliver,
  async function deliverToSubscriber({ runId, subscriber, checksum, activity }, context) {
    const body = JSON.stringify({ id: context.messageId, activity });
    const response = await fetch(new URL(`/${encodeURIComponent(subscriber)}`, subscriberUrl()), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-webhook-id": context.messageId,
        "x-webhook-run": runId,
        "x-webhook-attempt": String(context.attempt),
        "x-webhook-checksum": checksum,
        "x-webhook-signature": sign(body, SUBSCRIBER_SECRET),
      },
      body,
      signal: AbortSignal.any([context.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
    });
    const answer = await response.text();
    if (!response.ok) throw new SubscriberError(`${subscriber} answered ${response.status}`);
    if (answer !== context.messageId) throw new SubscriberError(`${subscriber} confirmed something else than it was sent`);
  },
  { execution: "inline" },
);
