import { type DispatchOptions, type DispatchReceipt, type Messenger, MessengerError, nearest } from "@symphony/core";
import { z } from "zod";
import type { Action } from "../audit/action.ts";
import { assertQueue } from "../auth/queue-limit.ts";
import { MESSAGE_BODY } from "../http/body.ts";
import { invalid } from "../http/problem.ts";
import { idempotencyKey as key } from "../requests/once.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import { name, success, text, time } from "./fields.ts";

const metadata = z.record(z.string(), z.unknown());

const bodySchema = z.strictObject({
  message: z.strictObject({ type: name, payload: z.unknown(), metadata: metadata.optional() }),
  options: z
    .strictObject({
      transport: name.optional(),
      queue: name.optional(),
      priority: z.int().min(1).max(10).optional(),
      scheduledAt: time.optional(),
      delayMs: z.number().min(0).optional(),
      expiresInMs: z.number().min(1).optional(),
      expiresAt: time.optional(),
      idempotencyKey: key.optional(),
      deduplicate: key.optional(),
      partitionKey: key.optional(),
      bus: name.optional(),
      metadata: metadata.optional(),
      headers: z.record(text(255), z.string().max(8_192)).optional(),
    })
    .optional(),
});

const answerSchema = z.strictObject({
  success,
  messageId: z.string(),
  transport: z.string(),
  queue: z.string(),
  scheduledAt: z.iso.datetime().optional(),
  idempotencyKey: z.string().optional(),
});

export const dispatchEndpoint = (messenger: Messenger): AnyEndpoint =>
  endpoint({
    summary: "Send a message",
    body: bodySchema,
    bodyLimits: MESSAGE_BODY,
    answers: { 201: answerSchema, 200: answerSchema },
    problems: [404, 409, 422],
    ownIdempotency: true,
    action: "dispatch",
    async handle({ body }, caller) {
      const { message, options = {} } = body;
      const type = messenger.registry.get(message.type) ?? unknownType(messenger, message.type);
      assertQueue(caller, options.queue ?? type.queue);
      const idempotencyKey = oneKey(options.idempotencyKey, caller.idempotencyKey);
      const send = (): Promise<DispatchReceipt> =>
        messenger.dispatch(type, message.payload, {
          ...toOptions(options),
          ...(message.metadata === undefined && options.metadata === undefined
            ? {}
            : { metadata: { ...message.metadata, ...options.metadata } }),
          ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        });
      const receipt = await carryOut(messenger, caller.action, { type: message.type, options }, send);
      const { messageId, transport, queue, duplicate, scheduledAt } = receipt;
      return {
        status: duplicate ? 200 : 201,
        body: {
          success: true,
          messageId,
          transport,
          queue,
          ...(scheduledAt === undefined ? {} : { scheduledAt: scheduledAt.toISOString() }),
          ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        },
      };
    },
  });

/** The message and the record of who sent it, in one commit. */
async function carryOut(
  messenger: Messenger,
  action: Action,
  { type, options }: { readonly type: string; readonly options: Given },
  send: () => Promise<DispatchReceipt>,
): Promise<DispatchReceipt> {
  const [name] = options.transport === undefined ? (messenger.router.find(type) ?? []) : [options.transport];
  // A synchronous transport stores nothing, and no record either.
  if (name === undefined || !messenger.transportNames.includes(name)) return send();
  // Metadata and headers are the application's data, like the payload.
  const { metadata: _, headers: __, ...shown } = options;
  return action.carryOut([name, messenger.transport(name)], { parameters: { type, ...shown } }, async () => {
    const receipt = await send();
    return { value: receipt, count: receipt.duplicate ? 0 : 1, target: receipt.messageId };
  });
}

type Given = NonNullable<z.output<typeof bodySchema>["options"]>;

/** Keys and metadata can come from two places each: the caller puts them in. */
function toOptions({ metadata: _, idempotencyKey: __, ...rest }: Given): DispatchOptions {
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}

function unknownType(messenger: Messenger, wanted: string): never {
  const near = nearest(
    wanted,
    messenger.registry.all().map((type) => type.name),
  );
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  throw new MessengerError("MESSAGE_TYPE_UNKNOWN", `no message type "${wanted}" is registered${hint}`, { details: { type: wanted } });
}

function oneKey(inBody: string | undefined, inHeader: string | undefined): string | undefined {
  if (inHeader !== undefined) {
    const parsed = key.safeParse(inHeader);
    if (!parsed.success) throw invalid([{ path: "Idempotency-Key", message: "must have 1 to 255 printable characters" }]);
    if (inBody !== undefined && inBody !== inHeader)
      throw invalid([{ path: "options.idempotencyKey", message: "differs from the header Idempotency-Key" }]);
  }
  return inBody ?? inHeader;
}
