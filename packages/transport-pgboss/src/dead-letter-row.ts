import type { DeadLetterReason, ErrorRecord, Failure } from "@symphony/core";

/** When a dead letter failed; microseconds and all. */
export const TIME = `to_char(t.created_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** What we stored, or what pg-boss keeps of an error when it dead-letters a message by itself. */
export function toFailure(stored: string | null, deliveries: number): Failure {
  const value: unknown = stored === null ? null : JSON.parse(stored);
  const given = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  const text = (key: string, otherwise: string): string => (typeof given[key] === "string" ? given[key] : otherwise);
  if (typeof given.error === "object" && given.error !== null) {
    return {
      reason: text("reason", "retries_exhausted") as DeadLetterReason,
      error: given.error as ErrorRecord,
      fingerprint: text("fingerprint", ""),
      attempts: typeof given.attempts === "number" ? given.attempts : deliveries,
      workerId: text("workerId", ""),
    };
  }
  const error = { name: text("name", "Error"), message: text("message", stored ?? "no error was recorded") };
  return { reason: "retries_exhausted", error, fingerprint: "", attempts: deliveries + 1, workerId: "" };
}
