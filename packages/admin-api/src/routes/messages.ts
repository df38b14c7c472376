import { type Cancellable, findMessage, isCancellable, type Messenger, MessengerError, type Runtime } from "@symphony/core";
import { z } from "zod";
import { isLimited, mayTouch } from "../auth/queue-limit.ts";
import { HttpProblem } from "../http/problem.ts";
import { capable, inTime } from "../transports.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import { messageId, name, success } from "./fields.ts";

const params = z.strictObject({ id: messageId });
const transportQuery = z.strictObject({ transport: name.optional() });

const STATES = ["waiting", "scheduled", "active", "failed", "handled", "cancelled", "unknown"] as const;

const whereabouts = z.strictObject({
  id: z.string(),
  state: z.enum(STATES).meta({ description: "unknown: there never was such a message, or it was handled and nothing stays of it." }),
  transport: z.string().nullable(),
  queue: z.string().nullable(),
  type: z.string().nullable(),
  priority: z.int().nullable(),
  at: z.iso.datetime().nullable().meta({
    description: "waiting, scheduled: when it was or is due; active: when this delivery began; else when it came to its end.",
  }),
  workerId: z.string().nullable().meta({ description: "Who works on it, while it is active." }),
  cancelledBy: z.string().nullable(),
});

interface Services {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
}

export const messageEndpoints = (services: Services) => ({
  showMessage: showMessage(services),
  cancelMessage: cancel(services),
});

const NOWHERE = { transport: null, queue: null, type: null, priority: null, at: null, workerId: null, cancelledBy: null };

const showMessage = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "Tell where a message is now",
    params,
    query: transportQuery,
    answers: { 200: z.strictObject({ success, message: whereabouts }) },
    problems: [404],
    async handle({ params: { id }, query }, caller) {
      const found = await inTime(runtime.clock, findMessage(reader, id, only(query.transport)));
      // For a token of some queues, a message of another one and none at all must look the same.
      if (isLimited(caller) && !mayTouch(caller, found?.queue)) notFound(id);
      return { status: 200, body: { success: true, message: found ?? { id, state: "unknown", ...NOWHERE } } };
    },
  });

const cancel = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "End a message for good: it is not delivered any more, and if it is being handled, its signal aborts",
    params,
    query: transportQuery,
    answers: {
      200: z.strictObject({
        success,
        messageId: z.string(),
        transport: z.string(),
        queue: z.string(),
        outcome: z.enum(["removed", "interrupted"]).meta({ description: "It was waiting, or being handled." }),
        workerId: z.string().nullable(),
      }),
    },
    problems: [404, 409, 422],
    action: "cancel",
    async handle({ params: { id }, query }, caller) {
      const { principal, action } = caller;
      const { transport, queue } = (await findMessage(messenger, id, only(query.transport))) ?? notFound(id);
      if (!mayTouch(caller, queue)) notFound(id);
      const [, source] = capable<Cancellable>([transport, messenger.transport(transport)], isCancellable, "cancel messages");
      const done = await action.carryOut([transport, source], { target: id }, async () => {
        const value = await source.cancelMessage(id, principal?.name);
        if (value.kind === "unknown") notFound(id);
        if (value.kind === "over") throw new HttpProblem(409, "CONFLICT", `the message ${id} is ${value.state} already`);
        return { value, count: 1 };
      });
      const workerId = done.kind === "interrupted" ? done.workerId : null;
      return { status: 200, body: { success: true, messageId: id, transport, queue: done.queue, outcome: done.kind, workerId } };
    },
  });

function notFound(id: string): never {
  throw new MessengerError("MESSAGE_NOT_FOUND", `no message has the id ${id}, or it was handled`);
}

const only = (transport: string | undefined): { transport?: string } => (transport === undefined ? {} : { transport });
