import { createHash } from "node:crypto";
import { defineHandler, systemClock, UnrecoverableError } from "@symphony/core";
import type pg from "pg";
import { insertActivity } from "../database.ts";
import { GithubDelivery, RepositorySummarise, SubscriberDeliver } from "../messages.ts";
import { normalise } from "../normalise.ts";
import { WEBHOOK_SECRET } from "../settings.ts";
import { isSignedWith } from "../signature.ts";
import { subscribersOf } from "../subscribers.ts";

/**
 * Verifies a webhook, writes its activity and dispatches what follows from it: one commit, together with the
 * acknowledgement. In a pool thread, because hashing and parsing tens of kilobytes would hold up the worker's loop.
 */
export const recordDelivery = defineHandler(
  GithubDelivery,
  async function recordDelivery({ runId, deliveryId, event, signature, body }, context) {
    // Another attempt would find the same signature: do not waste one.
    if (!isSignedWith(signature, body, WEBHOOK_SECRET)) throw new UnrecoverableError("the signature does not match the body");
    const activity = normalise(event, parse(body));
    const subscribers = subscribersOf(event);
    const checksum = createHash("sha256").update(body).digest("hex");

    if (activity.repository !== null) await context.dispatch(RepositorySummarise, { runId, repository: activity.repository });
    for (const { name } of subscribers) await context.dispatch(SubscriberDeliver, { runId, subscriber: name, checksum, activity });
    await insertActivity(context.db as pg.ClientBase, {
      messageId: context.messageId,
      runId,
      deliveryId,
      activity,
      bodyBytes: Buffer.byteLength(body),
      summaries: activity.repository === null ? 0 : 1,
      outgoing: subscribers.length,
      attempt: context.attempt,
      latencyMs: systemClock.now() - context.dispatchedAt.getTime(),
    });
  },
  { transactional: true },
);

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new UnrecoverableError("the body is not JSON, though its signature is right", { cause });
  }
}
