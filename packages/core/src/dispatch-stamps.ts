import type { DispatchOptions } from "./dispatch-options.ts";
import type { Stamp } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import { type AnyMessageType, NAME_PATTERN } from "./message.ts";
import { delay, headers, idempotencyKey, metadata, priority, queueName, scheduled, transaction, transportNames } from "./stamps.ts";

const KNOWN = new Set([
  "queue",
  "priority",
  "delayMs",
  "scheduledAt",
  "idempotencyKey",
  "headers",
  "metadata",
  "transport",
  "transaction",
  "bus",
]);
/** Milliseconds; a year, as for retries. What lies further ahead is a mistake in the unit. */
const LONGEST_DELAY_MS = 365 * 86_400_000;
const MAX_KEY_CHARS = 255;

/**
 * Dispatch options and the message type's defaults as stamps.
 *
 * @throws {MessengerError} `DISPATCH_OPTIONS_INVALID`, naming the option and its range.
 */
export function toStamps(type: AnyMessageType, options: DispatchOptions, now: number): Stamp[] {
  for (const key in options) if (!KNOWN.has(key)) throw invalid(key, `is not a dispatch option (${[...KNOWN].join(", ")})`);
  const queue = options.queue ?? type.queue;
  if (!NAME_PATTERN.test(queue)) throw invalid("queue", `must match ${NAME_PATTERN.source}`);
  const rank = options.priority ?? type.priority;
  if (!Number.isInteger(rank) || rank < 1 || rank > 10) throw invalid("priority", "must be an integer from 1 to 10");
  const stamps: Stamp[] = [queueName({ queue }), priority({ priority: rank })];
  addTime(stamps, options, now);
  if (options.idempotencyKey !== undefined) stamps.push(idempotencyKey({ key: checkKey(options.idempotencyKey) }));
  if (options.headers !== undefined) stamps.push(headers(checkHeaders(options.headers)));
  if (options.metadata !== undefined) stamps.push(metadata(checkObject("metadata", options.metadata)));
  if (options.transport !== undefined) stamps.push(transportNames({ names: [options.transport] }));
  if (options.transaction !== undefined) stamps.push(transaction({ client: options.transaction }));
  return stamps;
}

function addTime(stamps: Stamp[], options: DispatchOptions, now: number): void {
  if (options.delayMs !== undefined) {
    if (options.scheduledAt !== undefined) throw invalid("scheduledAt", "and delayMs exclude each other");
    if (typeof options.delayMs !== "number" || !(options.delayMs >= 0 && options.delayMs <= LONGEST_DELAY_MS)) {
      throw invalid("delayMs", `must be from 0 to ${LONGEST_DELAY_MS} milliseconds (a year)`);
    }
    if (options.delayMs > 0) stamps.push(delay({ delayMs: options.delayMs }));
  } else if (options.scheduledAt !== undefined) {
    const at = options.scheduledAt instanceof Date ? options.scheduledAt.getTime() : parseTime(options.scheduledAt);
    if (!Number.isFinite(at) || at > now + LONGEST_DELAY_MS)
      throw invalid("scheduledAt", "must be a time within the next year, as a Date or RFC 3339 with zone");
    // A time in the past means now: the caller's clock may be behind, and the work is due either way.
    if (at > now) stamps.push(scheduled({ at }));
  }
}

function parseTime(text: unknown): number {
  if (typeof text !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)) return Number.NaN;
  return Date.parse(text);
}

function checkKey(key: unknown): string {
  if (typeof key !== "string" || key.length === 0 || key.length > MAX_KEY_CHARS)
    throw invalid("idempotencyKey", `must be a string of 1 to ${MAX_KEY_CHARS} characters`);
  return key;
}

function checkHeaders(value: unknown): Readonly<Record<string, string>> {
  const given = checkObject("headers", value);
  for (const [name, text] of Object.entries(given)) if (typeof text !== "string") throw invalid(`headers.${name}`, "must be a string");
  return given as Record<string, string>;
}

function checkObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(name, "must be an object");
  return value as Record<string, unknown>;
}

const invalid = (option: string, what: string): MessengerError =>
  new MessengerError("DISPATCH_OPTIONS_INVALID", `dispatch option ${option} ${what}`, { details: { path: option } });
