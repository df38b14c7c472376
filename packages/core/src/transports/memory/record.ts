import { createHash } from "node:crypto";
import type { Message } from "../../envelope.ts";
import { NO_TRIES, type Tries } from "../../stamps.ts";
import type { RecordPatch } from "../../transport.ts";

/**
 * Changes to a record as it is stored. A record that is no JSON object (a foreign one, or garbage) has no place for
 * counters: it stays as it is, byte for byte.
 */
function change(body: string, edit: (record: Record<string, unknown>) => void): string {
  let record: unknown;
  try {
    record = JSON.parse(body);
  } catch {
    // The serializer of this transport does not write JSON: there is nothing to edit.
    return body;
  }
  if (typeof record !== "object" || record === null || Array.isArray(record)) return body;
  edit(record as Record<string, unknown>);
  return JSON.stringify(record);
}

export function applyPatch(body: string, patch: RecordPatch | undefined): string {
  const changes = Object.entries(patch ?? {}).filter(([, value]) => value !== undefined);
  return changes.length === 0 ? body : change(body, (record) => void Object.assign(record, Object.fromEntries(changes)));
}

export function countInterruption(body: string): string {
  return change(body, (record) => {
    const tries: Tries = { ...NO_TRIES, ...(record.tries as Tries | undefined) };
    record.tries = { ...tries, interruptions: tries.interruptions + 1 };
  });
}

export function raiseSuspicion(body: string): string {
  return change(body, (record) => {
    record.suspect = (typeof record.suspect === "number" ? record.suspect : 0) + 1;
  });
}

/** For a redrive: counters and suspicion start anew, and whoever wants it handled now does not want it to expire. */
export function clearTries(body: string): string {
  return change(body, (record) => {
    delete record.tries;
    delete record.suspect;
    delete record.exp;
  });
}

/** Equal for messages that are the same to an idempotency key: type and payload, whatever the order of fields. */
export function digest(message: Message): string {
  const payload: unknown = JSON.parse(JSON.stringify(message.payload ?? null));
  return createHash("sha256")
    .update(JSON.stringify([message.type, payload], (_, value: unknown) => sorted(value)))
    .digest("base64");
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
