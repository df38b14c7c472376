import { type DeadLetter, stamps } from "@symphony/core";

/** A dead letter as command line and HTTP show it. */
export interface FailedMessage {
  readonly id: string;
  /** Null when the record could not be decoded. */
  readonly type: string | null;
  readonly payload?: unknown;
  /** The stored bytes, in place of the payload, when they could not be decoded. */
  readonly body?: string;
  readonly queue: string;
  readonly transport: string;
  readonly priority: number;
  /** RFC 3339 */
  readonly failedAt: string;
  readonly attempts: number;
  readonly reason: DeadLetter["failure"]["reason"];
  readonly error: DeadLetter["failure"]["error"];
  readonly fingerprint: string;
  /** RFC 3339; null when the record could not be decoded. */
  readonly dispatchedAt: string | null;
  readonly idempotencyKey?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly history: readonly unknown[];
}

export function toFailedMessage(transport: string, letter: DeadLetter, options: { payload: boolean }): FailedMessage {
  const { envelope, failure } = letter;
  const at = envelope?.last(stamps.dispatched)?.at;
  const key = envelope?.last(stamps.idempotencyKey)?.key;
  const content = envelope === undefined ? { body: letter.body } : { payload: envelope.message.payload };
  return {
    id: letter.id,
    type: letter.type,
    ...(options.payload ? content : {}),
    queue: letter.queue,
    transport,
    priority: letter.priority,
    failedAt: letter.failedAt,
    attempts: failure.attempts,
    reason: failure.reason,
    error: failure.error,
    fingerprint: failure.fingerprint,
    dispatchedAt: at === undefined ? null : new Date(at).toISOString(),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    headers: envelope?.last(stamps.headers) ?? {},
    metadata: envelope?.last(stamps.metadata) ?? {},
    history: envelope?.last(stamps.redelivery)?.history ?? [],
  };
}
