import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Envelope } from "../envelope.ts";
import { ValidationError, type ValidationIssue } from "../errors.ts";
import type { MessageRegistry } from "../message.ts";
import { received } from "../stamps.ts";
import type { Onward, Step } from "./chain.ts";

/**
 * Checks the payload against the schema of its type: at dispatch, so that nothing bad is stored, and before handling,
 * where the handler gets the schema's output (defaults filled in, strings parsed).
 *
 * What is sent is the input, not the output: a transforming schema would not accept its own output again.
 */
export function validate(registry: MessageRegistry): Step {
  return (envelope, next) => {
    const schema = registry.get(envelope.message.type)?.schema;
    if (schema === undefined) return next(envelope);
    const result = schema["~standard"].validate(envelope.message.payload);
    if (result instanceof Promise) return result.then((settled) => proceed(envelope, settled, next));
    return proceed(envelope, result, next);
  };
}

/** @throws {ValidationError} */
function proceed(envelope: Envelope, result: StandardSchemaV1.Result<unknown>, next: Onward): Envelope | Promise<Envelope> {
  if (result.issues !== undefined) throw new ValidationError(envelope.message.type, result.issues.map(toIssue));
  return next(envelope.last(received) === undefined ? envelope : envelope.withPayload(result.value));
}

function toIssue(issue: StandardSchemaV1.Issue): ValidationIssue {
  const keys = issue.path?.map((part) => (typeof part === "object" ? part.key : part)) ?? [];
  const path = keys.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`),
    "",
  );
  return { path, message: issue.message };
}
