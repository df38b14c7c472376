import type { Envelope } from "../../envelope.ts";
import { DecodeError } from "../../errors.ts";
import type { Serializer } from "../../serializer.ts";
import type { DeadLetter, Received } from "../../transport.ts";
import type { StoredDeadLetter } from "./dead-letters.ts";
import type { StoredMessage } from "./stored-message.ts";

type Decoded =
  | { readonly envelope: Envelope; readonly decodeError?: never }
  | { readonly envelope?: never; readonly decodeError: DecodeError };

export function decode(serializer: Serializer, body: string): Decoded {
  try {
    return { envelope: serializer.decode(body) };
  } catch (cause) {
    if (cause instanceof DecodeError) return { decodeError: cause };
    return { decodeError: new DecodeError("RECORD_UNDECODABLE", "the serializer failed to read the record", { cause }) };
  }
}

export function toReceived(serializer: Serializer, { id, queue, priority, body, lease }: StoredMessage): Received {
  return { receipt: { id, queue, fence: lease?.fence ?? 0 }, queue, priority, body, ...decode(serializer, body) };
}

export function toDeadLetter(serializer: Serializer, { message, failure, failedAt, type }: StoredDeadLetter): DeadLetter {
  const { id, queue, priority, body } = message;
  const { envelope } = decode(serializer, body);
  const failed = { id, type, queue, priority, body, failure, failedAt: new Date(failedAt).toISOString() };
  return envelope === undefined ? failed : { ...failed, envelope };
}
