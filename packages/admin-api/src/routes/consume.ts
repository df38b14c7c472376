import { type Messenger, MessengerError, type Runtime } from "@symphony/core";
import { z } from "zod";
import { isLimited, mayTouch } from "../auth/queue-limit.ts";
import type { ConsumeLimits, Consumers } from "../consume/consumers.ts";
import { DEFAULT_BATCH_SIZE, DEFAULT_MAX_CONCURRENCY, DEFAULT_TIME_LIMIT_MS } from "../consume/environment.ts";
import { nonceHeaders, takeNonce } from "../requests/nonce.ts";
import { countable, transportOrDefault } from "../transports.ts";
import { type Answer, type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, name, success } from "./fields.ts";

const bodySchema = z
  .strictObject({
    batchSize: z.int().min(1).max(100).default(DEFAULT_BATCH_SIZE),
    maxConcurrency: z.int().min(1).max(20).default(DEFAULT_MAX_CONCURRENCY),
    timeLimit: z.int().min(1_000).max(55_000).default(DEFAULT_TIME_LIMIT_MS).meta({ description: "Milliseconds." }),
    messageLimit: z.int().min(1).optional(),
    transport: name.optional(),
  })
  .prefault({});

const answerSchema = z.strictObject({
  success,
  stats: z.strictObject({
    totalProcessed: count,
    totalSucceeded: count,
    totalFailed: count,
    averageProcessingTime: z.number().min(0).meta({ description: "Milliseconds." }),
    currentQueueDepth: z.int().min(-1).meta({ description: "-1: the transport could not say." }),
    batches: count,
    stopReason: z.string().nullable(),
  }),
  health: z.strictObject({
    running: z.boolean(),
    processing: count,
    uptime: z.number().min(0).meta({ description: "Milliseconds." }),
    memoryUsage: z.number().min(0).meta({ description: "Resident set, MB." }),
  }),
});

export const consumeEndpoint = (messenger: Messenger, consumers: Consumers): AnyEndpoint =>
  endpoint({
    summary: "Handle messages in this process until the queues are empty or a limit is met",
    body: bodySchema,
    answers: { 200: answerSchema },
    problems: [404, 422],
    action: "consume",
    isHeavy: true,
    async handle({ body }, caller) {
      return consume(messenger, consumers, await within(messenger, body, caller), caller);
    },
  });

export interface CronInput {
  readonly messenger: Messenger;
  readonly runtime: Runtime;
  readonly consumers: Consumers;
  /** Of the environment: a timer brings nothing along but its secret. */
  readonly cronLimits: ConsumeLimits;
  readonly requireCronNonce: boolean;
}

/** @param method - Timers that post, pg_net for one, send an empty object along. */
export const cronEndpoint = (o: CronInput, method: "GET" | "POST"): AnyEndpoint =>
  endpoint({
    summary: "Handle messages until the queues are empty or a limit of the environment is met, for timers",
    ...(method === "POST" ? { body: z.strictObject({}).prefault({}) as z.ZodType } : {}),
    headers: nonceHeaders(o.requireCronNonce) as z.ZodType<Readonly<Record<string, string | undefined>>>,
    answers: { 200: answerSchema },
    problems: [409, 422],
    action: "consume",
    isHeavy: true,
    async handle({ headers }, caller) {
      o.consumers.assertReady();
      await takeNonce(o.messenger, o.runtime.clock, headers);
      return consume(o.messenger, o.consumers, o.cronLimits, caller);
    },
  });

/** Of the queues that are there, those of the caller. */
async function within(messenger: Messenger, limits: ConsumeLimits, caller: Caller): Promise<ConsumeLimits> {
  if (!isLimited(caller)) return limits;
  const [, source] = countable(transportOrDefault(messenger, limits.transport));
  const queues = (await source.getCounts()).map(({ queue }) => queue).filter((queue) => mayTouch(caller, queue));
  if (queues.length === 0) throw new MessengerError("QUEUE_NOT_FOUND", "there is no queue that this token knows", { details: {} });
  return { ...limits, queues };
}

async function consume(messenger: Messenger, consumers: Consumers, limits: ConsumeLimits, { action }: Caller): Promise<Answer> {
  consumers.assertReady();
  const { transport, ...parameters } = limits;
  // Recorded before it begins: what handlers have done cannot be taken back for want of a record.
  await action.carryOut(transportOrDefault(messenger, transport), { parameters }, async () => ({ value: null, count: 0 }));
  const { stats, health } = await consumers.run(limits);
  const { totalProcessed, totalSucceeded, totalFailed, averageProcessingTime, currentQueueDepth, batches, stopReason } = stats;
  const { running, processing, uptime, memoryUsage } = health;
  return {
    status: 200,
    body: {
      success: true,
      stats: { totalProcessed, totalSucceeded, totalFailed, averageProcessingTime, currentQueueDepth, batches, stopReason },
      health: { running, processing, uptime, memoryUsage },
    },
  };
}
