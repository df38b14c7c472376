import { isPausable, isPurgeable, type Messenger, type Pausable, type Purgeable, type Transport } from "@symphony/core";
import { z } from "zod";
import { assertQueue } from "../auth/queue-limit.ts";
import { HttpProblem } from "../http/problem.ts";
import { capable, type Named, transportOrDefault } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, name, success } from "./fields.ts";

const params = z.strictObject({ name });
const transportQuery = z.strictObject({ transport: name.optional() });
const target = z.strictObject({ type: name.optional().meta({ description: "Only messages of this type." }) }).prefault({});

const pauseAnswer = z.strictObject({
  success,
  transport: z.string(),
  queue: z.string(),
  type: z.string().optional(),
  paused: z.boolean(),
});

interface Services {
  readonly messenger: Messenger;
}

export const queueControlEndpoints = (services: Services) => ({
  pauseQueue: pauseQueue(services),
  resumeQueue: resumeQueue(services),
  purgeQueue: purgeQueue(services),
});

const pausable = (messenger: Messenger, wanted: string | undefined): Named<Transport & Pausable> =>
  capable<Pausable>(transportOrDefault(messenger, wanted), isPausable, "pause queues");

const by = ({ principal }: Caller): string | undefined => principal?.name;

const pauseQueue = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Give no worker of the fleet messages of this queue, or of one type in it",
    params,
    query: transportQuery,
    body: target,
    answers: { 200: pauseAnswer },
    problems: [404, 422],
    action: "pause",
    async handle({ params: { name: queue }, query, body }, caller) {
      assertQueue(caller, queue);
      const [transport, source] = pausable(messenger, query.transport);
      const only = body.type === undefined ? {} : { type: body.type };
      await caller.action.carryOut([transport, source], { target: queue, parameters: only }, async () => {
        await source.pauseQueue({ queue, ...only }, by(caller));
        return { value: null, count: 0 };
      });
      return { status: 200, body: { success: true, transport, queue, ...only, paused: true } };
    },
  });

const resumeQueue = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "End a pause; answers the same when there was none",
    params,
    query: transportQuery,
    body: target,
    answers: { 200: pauseAnswer },
    problems: [404, 422],
    action: "resume",
    async handle({ params: { name: queue }, query, body }, caller) {
      assertQueue(caller, queue);
      const [transport, source] = pausable(messenger, query.transport);
      const only = body.type === undefined ? {} : { type: body.type };
      await caller.action.carryOut([transport, source], { target: queue, parameters: only }, async () => {
        await source.resumeQueue({ queue, ...only });
        return { value: null, count: 0 };
      });
      return { status: 200, body: { success: true, transport, queue, ...only, paused: false } };
    },
  });

const purgeBody = z
  .strictObject({
    confirm: z.string().max(63).optional().meta({ description: "The name of the queue." }),
    expectedCount: count.optional().meta({ description: "How many messages wait; with any other number nothing is removed." }),
    type: name.optional().meta({ description: "Only messages of this type." }),
  })
  .prefault({});

const purgeQueue = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Remove the waiting messages of a queue, not those in flight, and no failed ones; they can be brought back for seven days",
    params,
    query: transportQuery,
    body: purgeBody,
    answers: { 200: z.strictObject({ success, transport: z.string(), queue: z.string(), type: z.string().optional(), removed: count }) },
    problems: [404, 409, 422],
    action: "purge",
    async handle({ params: { name: queue }, query, body }, caller) {
      assertQueue(caller, queue);
      const [transport, source] = capable<Purgeable>(transportOrDefault(messenger, query.transport), isPurgeable, "purge queues");
      const { confirm, expectedCount, type } = body;
      const only = type === undefined ? {} : { type };
      if (confirm !== queue || expectedCount === undefined) throw unconfirmed(queue, await source.countPurgeable({ queue, ...only }));
      const removed = await caller.action.carryOut(
        [transport, source],
        { target: queue, parameters: { ...only, expectedCount } },
        async () => {
          const { removed: count } = await source.purgeQueue(queue, { ...only, expectedCount });
          return { value: count, count };
        },
      );
      return { status: 200, body: { success: true, transport, queue, ...only, removed } };
    },
  });

const unconfirmed = (queue: string, waiting: number): HttpProblem =>
  new HttpProblem(
    409,
    "CONFLICT",
    `${waiting} messages wait in queue "${queue}" and none was removed: to remove them, confirm must be "${queue}" and expectedCount ${waiting}`,
    {
      issues: [
        { path: "confirm", message: `must be "${queue}"` },
        { path: "expectedCount", message: `must be ${waiting}` },
      ],
    },
  );
