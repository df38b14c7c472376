import { defineConfig } from "@symphony/core";
import { deliverToSubscriber, recordDelivery, summariseRepository } from "./src/handlers/index.ts";
import { GithubDelivery, RepositorySummarise, SubscriberDeliver } from "./src/messages.ts";

export default defineConfig({
  transports: { default: { dsn: process.env.DATABASE_URL ?? "embedded:" } },
  routing: { "*": "default" },
  handlers: [recordDelivery, summariseRepository, deliverToSubscriber],
  // Order is precedence: webhooks that have come in first, then what others wait for, then our own summaries.
  worker: {
    queues: [GithubDelivery.queue, SubscriberDeliver.queue, RepositorySummarise.queue],
    batchSize: 20,
    maxConcurrency: 8,
    pollInterval: 500,
    processes: 2,
    threads: 2,
  },
});
