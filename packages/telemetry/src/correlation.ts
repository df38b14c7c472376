import { activeLogFields, currentAttempt, stamps } from "@symphony/core";
import { LOG_FIELDS } from "./names.ts";

/** Fields that tell which message is being handled here; empty outside of a handler. */
export function currentMessage(): Readonly<Record<string, string | number>> {
  const received = currentAttempt.getStore()?.received;
  if (received === undefined) return {};
  const tries = received.envelope?.last(stamps.redelivery)?.tries;
  return {
    [LOG_FIELDS.messageId]: received.receipt.id,
    [LOG_FIELDS.messageType]: received.envelope?.message.type ?? "",
    [LOG_FIELDS.queue]: received.queue,
    [LOG_FIELDS.attempt]: (tries?.failures ?? 0) + (tries?.crashes ?? 0) + 1,
  };
}

/**
 * For a pino of one's own: puts message, attempt, trace and worker on every line that is logged while a handler runs,
 * as `context.logger` does by itself.
 *
 * @example
 * const log = pino({ mixin: correlation });
 */
export function correlation(): Record<string, string | number> {
  return { ...currentMessage(), ...activeLogFields(), [LOG_FIELDS.workerPid]: process.pid };
}
