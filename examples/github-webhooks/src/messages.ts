import { defineMessage } from "@symphony/core";
import { z } from "zod";

/** A GitHub webhook as it arrived: unverified. The body stays text, because the signature is over its bytes. */
export const GithubDelivery = defineMessage("github.delivery", {
  schema: z.object({ runId: z.uuid(), deliveryId: z.string().min(1), event: z.string().min(1), signature: z.string(), body: z.string() }),
  queue: "webhook-deliveries",
  priority: 6,
  timeoutMs: 10_000,
  retry: { maxRetries: 3, delayMs: 200, multiplier: 2 },
});

/** Render the summary of a repository anew. */
export const RepositorySummarise = defineMessage("repository.summarise", {
  schema: z.object({ runId: z.uuid(), repository: z.string() }),
  queue: "webhook-summaries",
  priority: 4,
  timeoutMs: 10_000,
  retry: { maxRetries: 3, delayMs: 200, multiplier: 2 },
});

/** Tell one subscriber about one activity. */
export const SubscriberDeliver = defineMessage("subscriber.deliver", {
  schema: z.object({
    runId: z.uuid(),
    subscriber: z.string(),
    /** SHA-256 of the webhook that it comes from: names the event alike in every run. */
    checksum: z.string(),
    activity: z.object({
      event: z.string(),
      action: z.string().nullable(),
      repository: z.string().nullable(),
      scope: z.string(),
      actor: z.string(),
      title: z.string(),
      url: z.string().nullable(),
      occurredAt: z.string().nullable(),
    }),
  }),
  queue: "webhook-outgoing",
  timeoutMs: 10_000,
  // Short, so that a demonstration gets to its dead letters; for a real subscriber hours are right.
  retry: { maxRetries: 3, delayMs: 250, multiplier: 2, maxDelayMs: 2_000, jitter: 0.2 },
});

const MESSAGES = [GithubDelivery, RepositorySummarise, SubscriberDeliver] as const;
export const QUEUES: readonly string[] = MESSAGES.map((message) => message.queue);
