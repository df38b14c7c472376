import { type DispatchOptions, NO_OPTIONS } from "./dispatch-options.ts";
import type { Stamp } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import { LONGEST_DELAY_MS } from "./longest-delay.ts";
import { type AnyMessageType, NAME_PATTERN } from "./message.ts";
import {
  deduplicate,
  delay,
  expiry,
  headers,
  idempotencyKey,
  metadata,
  olderNames,
  partitionKey,
  priority,
  queueName,
  scheduled,
  transaction,
  transportNames,
} from "./stamps.ts";

const KNOWN = new Set<string>([
  "queue",
  "priority",
  "delayMs",
  "scheduledAt",
  "expiresInMs",
  "expiresAt",
  "idempotencyKey",
  "deduplicate",
  "partitionKey",
  "headers",
  "metadata",
  "stamps",
  "transport",
  "transaction",
  "bus",
  "afterCurrent",
] satisfies readonly (keyof DispatchOptions)[]);
const MAX_KEY_CHARS = 255;

/** Of types whose every message without options has the same stamps. */
const constantStamps = new WeakMap<AnyMessageType, readonly Stamp[]>();

/**
 * Dispatch options and the message type's defaults as stamps.
 *
 * @throws {MessengerError} `DISPATCH_OPTIONS_INVALID`, naming the option and its range.
 */
export function toStamps(type: AnyMessageType, payload: unknown, options: DispatchOptions, now: number): readonly Stamp[] {
  if (options !== NO_OPTIONS) return makeStamps(type, payload, options, now);
  const known = constantStamps.get(type);
  if (known !== undefined) return known;
  const stamps = makeStamps(type, payload, options, now);
  const { delayMs, expiresInMs, partitionKey: part, deduplicate: single } = type;
  if (Object.isFrozen(type) && [delayMs, expiresInMs, part, single].every((option) => option === undefined))
    constantStamps.set(type, frozen(stamps, type.stamps));
  return stamps;
}

/** Whoever changes one would change it for every later message. @param own - Of the application, which may change its own. */
function frozen(stamps: readonly Stamp[], own: readonly Stamp[] = []): readonly Stamp[] {
  for (const stamp of stamps) if (!own.includes(stamp)) Object.freeze(Object.freeze(stamp).value);
  return Object.freeze(stamps);
}

function makeStamps(type: AnyMessageType, payload: unknown, options: DispatchOptions, now: number): Stamp[] {
  for (const key in options) if (!KNOWN.has(key)) throw invalid(key, `is not a dispatch option (${[...KNOWN].join(", ")})`);
  const queue = options.queue ?? type.queue;
  if (!NAME_PATTERN.test(queue)) throw invalid("queue", `must match ${NAME_PATTERN.source}`);
  const rank = options.priority ?? type.priority;
  if (!Number.isInteger(rank) || rank < 1 || rank > 10) throw invalid("priority", "must be an integer from 1 to 10");
  const stamps: Stamp[] = [...ownStamps(type.stamps, options.stamps), queueName({ queue }), priority({ priority: rank })];
  const dueAt = addTime(stamps, type, options, now);
  addExpiry(stamps, type, options, dueAt);
  if (type.aliases.length > 0) stamps.push(olderNames({ names: type.aliases }));
  addKeys(stamps, type, payload, options);
  const allHeaders = merged(type.headers, options.headers === undefined ? undefined : checkHeaders(options.headers));
  if (allHeaders !== undefined) stamps.push(headers(allHeaders));
  const allMetadata = merged(type.metadata, options.metadata === undefined ? undefined : checkObject("metadata", options.metadata));
  if (allMetadata !== undefined) stamps.push(metadata(allMetadata));
  if (options.transport !== undefined) stamps.push(transportNames({ names: [options.transport] }));
  if (options.transaction !== undefined) stamps.push(transaction({ client: options.transaction }));
  return stamps;
}

/** Those of the dispatch take the place of those of the type; of each kind. */
function ownStamps(ofType: readonly Stamp[] = [], given: unknown = []): readonly Stamp[] {
  if (!Array.isArray(given) || given.some((stamp) => typeof (stamp as Stamp | null)?.name !== "string"))
    throw invalid("stamps", "must be a list of stamps, each from a stamp type");
  const own = given as readonly Stamp[];
  if (ofType.length === 0) return own;
  const names = new Set(own.map((stamp) => stamp.name));
  return [...ofType.filter((stamp) => !names.has(stamp.name)), ...own];
}

function merged<T extends Readonly<Record<string, unknown>>>(ofType: T | undefined, given: T | undefined): T | undefined {
  return ofType === undefined || given === undefined ? (given ?? ofType) : { ...ofType, ...given };
}

function addKeys(stamps: Stamp[], type: AnyMessageType, payload: unknown, options: DispatchOptions): void {
  const { idempotencyKey: once } = options;
  if (once !== undefined) stamps.push(idempotencyKey({ key: checkKey("idempotencyKey", once) }));
  const part = options.partitionKey ?? (type.partitionKey === undefined ? undefined : keyOf("partitionKey", type, payload));
  if (part !== undefined) stamps.push(partitionKey({ key: checkKey("partitionKey", part) }));
  // A known idempotency key answers for unfinished messages too.
  if (once !== undefined && options.deduplicate !== undefined) throw invalid("deduplicate", "and idempotencyKey exclude each other");
  const own = once === undefined && type.deduplicate !== undefined ? keyOf("deduplicate", type, payload) : undefined;
  const single = options.deduplicate ?? own;
  if (single !== undefined) stamps.push(deduplicate({ key: checkKey("deduplicate", single) }));
}

function keyOf(which: "partitionKey" | "deduplicate", type: AnyMessageType, payload: unknown): unknown {
  try {
    return type[which]?.(payload);
  } catch (cause) {
    const what = `cannot be made from the payload: ${String(cause)}`;
    throw new MessengerError("DISPATCH_OPTIONS_INVALID", `${which} of "${type.name}" ${what}`, { cause, details: { path: which } });
  }
}

/** When it is due, as far as this process knows. */
function addTime(stamps: Stamp[], type: AnyMessageType, options: DispatchOptions, now: number): number {
  if (options.scheduledAt !== undefined) {
    if (options.delayMs !== undefined) throw invalid("scheduledAt", "and delayMs exclude each other");
    const at = toTime("scheduledAt", options.scheduledAt, now);
    // What lies in the past is due: for the transport to say, since the caller's clock may be wrong. Not too far in the
    // past, for that is what a retention is counted from.
    stamps.push(scheduled({ at: Math.max(at, now - LONGEST_DELAY_MS) }));
    return Math.max(at, now);
  }
  const delayMs = options.delayMs ?? type.delayMs ?? 0;
  checkDuration("delayMs", delayMs, 0);
  if (delayMs > 0) stamps.push(delay({ delayMs }));
  return now + delayMs;
}

function addExpiry(stamps: Stamp[], type: AnyMessageType, options: DispatchOptions, dueAt: number): void {
  if (options.expiresAt !== undefined) {
    if (options.expiresInMs !== undefined) throw invalid("expiresAt", "and expiresInMs exclude each other");
    const at = toTime("expiresAt", options.expiresAt, dueAt);
    if (at <= dueAt) throw invalid("expiresAt", "must be after the time at which the message is due");
    stamps.push(expiry({ at: Math.floor(at) }));
    return;
  }
  const expiresInMs = options.expiresInMs ?? type.expiresInMs;
  if (expiresInMs === undefined) return;
  checkDuration("expiresInMs", expiresInMs, 1);
  stamps.push(expiry({ at: Math.floor(dueAt + expiresInMs) }));
}

function checkDuration(option: string, value: unknown, min: number): void {
  if (typeof value !== "number" || !(value >= min && value <= LONGEST_DELAY_MS))
    throw invalid(option, `must be from ${min} to ${LONGEST_DELAY_MS} milliseconds (a year)`);
}

function toTime(option: string, value: Date | string, from: number): number {
  const at = value instanceof Date ? value.getTime() : parseTime(value);
  if (!Number.isFinite(at) || at > from + LONGEST_DELAY_MS)
    throw invalid(option, "must be a time within the next year, as a Date or RFC 3339 with zone");
  return at;
}

function parseTime(text: unknown): number {
  if (typeof text !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)) return Number.NaN;
  return Date.parse(text);
}

function checkKey(option: string, key: unknown): string {
  if (typeof key !== "string" || key.length === 0 || key.length > MAX_KEY_CHARS)
    throw invalid(option, `must be a string of 1 to ${MAX_KEY_CHARS} characters`);
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
