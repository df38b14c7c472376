import { type DeadLetterParcel, parseForeignQueue } from "../../failure-transport/forwarding.ts";
import type { StoredDeadLetter } from "./dead-letters.ts";

/** With the queue that its own transport knows. */
export const toParcel = ({ message, failure, failedAt }: StoredDeadLetter): DeadLetterParcel => ({
  id: message.id,
  queue: parseForeignQueue(message.queue)?.queue ?? message.queue,
  priority: message.priority,
  body: message.body,
  failure,
  failedAt: new Date(failedAt).toISOString(),
  fence: 0,
  ...(message.key === undefined ? {} : { idempotencyKey: message.key }),
  ...(message.partition === undefined ? {} : { partitionKey: message.partition }),
});
