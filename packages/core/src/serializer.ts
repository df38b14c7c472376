import { Envelope, isSendable, type Stamp } from "./envelope.ts";
import { DecodeError, MessengerError } from "./errors.ts";
import { assertStorableJson, DEFAULT_PAYLOAD_LIMITS, type PayloadLimits } from "./json-guard.ts";
import { type Outline, outlineOf } from "./outline.ts";
import {
  busName,
  dispatched,
  expiry,
  handled,
  headers,
  idempotencyKey,
  lineage,
  messageId,
  metadata,
  olderNames,
  partitionKey,
  redelivery,
  suspect,
  typeVersion,
} from "./stamps.ts";
import { usualRecord } from "./usual-record.ts";
import { WIRE_VERSION, type WireRecord } from "./wire-record.ts";
import { hasField, WireStamps } from "./wire-stamps.ts";

/** Envelope ⇄ what is stored. A transport has one; an own one may read the messages of foreign producers. */
export interface Serializer {
  /** @throws {MessengerError} `PAYLOAD_NOT_JSON`, `PAYLOAD_TOO_LARGE`, `PAYLOAD_TOO_DEEP`, with path and limit. */
  encode(envelope: Envelope): string;
  /** @throws {DecodeError} `RECORD_UNDECODABLE`, or `RECORD_TOO_NEW` for a record of a newer program. */
  decode(body: string): Envelope;
  /** A part of what `decode` would give, for much less; undefined, or no such function: `decode` has to be asked. */
  outline?(body: string): Outline | undefined;
}

export function createJsonSerializer(limits: PayloadLimits = DEFAULT_PAYLOAD_LIMITS): Serializer {
  const decode = (body: string): Envelope => toEnvelope(usualRecord(body) ?? parseRecord(body));
  return {
    encode: (envelope) => encode(envelope, limits),
    decode,
    // Of a serializer that is made of this one and reads in another way, nothing is known.
    outline(body) {
      return this.decode === decode ? outlineOf(body) : undefined;
    },
  };
}

function encode(envelope: Envelope, limits: PayloadLimits): string {
  const { type, payload } = envelope.message;
  assertStorableJson(payload, "payload", limits);
  const record = toRecord(envelope);
  if (record.headers !== undefined) assertStorableJson(record.headers, "headers", limits);
  if (record.meta !== undefined) assertStorableJson(record.meta, "metadata", limits);
  if (record.stamps !== undefined) assertStorableJson(record.stamps, "stamps", limits);
  const body = JSON.stringify(record);
  const bytes = Buffer.byteLength(body);
  if (bytes > limits.maxBytes) {
    throw new MessengerError(
      "PAYLOAD_TOO_LARGE",
      `message "${type}" has ${bytes} bytes as JSON, the limit is ${limits.maxBytes}: store the data elsewhere and send a reference`,
      {
        details: { path: "payload", bytes, maxBytes: limits.maxBytes },
      },
    );
  }
  return body;
}

function toRecord(envelope: Envelope): WireRecord {
  const { type, payload } = envelope.message;
  const id = envelope.last(messageId)?.id;
  if (id === undefined)
    throw new MessengerError("RECORD_UNDECODABLE", `message "${type}" has no messageId stamp: dispatch it through a bus`);
  const line = envelope.last(lineage);
  const past = envelope.last(redelivery);
  const own = ownStamps(envelope.stamps);
  const done = doneHandlers(envelope, past?.handled ?? []);
  const record: Record<string, unknown> = { v: WIRE_VERSION, id, type, tv: envelope.last(typeVersion)?.version ?? 1 };
  const add = (key: keyof WireRecord, value: unknown): void => {
    if (value !== undefined) record[key] = value;
  };
  add("headers", envelope.last(headers));
  add("meta", envelope.last(metadata));
  add("root", line?.root ?? id);
  add("parent", line?.parent);
  add("depth", line?.depth ?? 0);
  add("at", envelope.last(dispatched)?.at ?? 0);
  add("was", envelope.last(olderNames)?.names);
  add("exp", envelope.last(expiry)?.at);
  add("bus", envelope.last(busName)?.bus);
  add("key", envelope.last(idempotencyKey)?.key);
  add("part", envelope.last(partitionKey)?.key);
  add("tries", past?.tries);
  add("history", past !== undefined && past.history.length > 0 ? past.history : undefined);
  add("handled", done.length > 0 ? done : undefined);
  add("suspect", envelope.last(suspect)?.crashes);
  add("stamps", own);
  record.payload = payload === undefined ? null : payload;
  return record as unknown as WireRecord;
}

function doneHandlers(envelope: Envelope, before: readonly string[]): readonly string[] {
  const now = envelope.all(handled).map((stamp) => stamp.handler);
  return now.length === 0 ? before : [...new Set([...before, ...now])];
}

function ownStamps(stamps: readonly Stamp[]): Record<string, unknown[]> | undefined {
  // A map, not an object: a stamp may be called "__proto__" or "constructor".
  let own: Map<string, unknown[]> | undefined;
  for (const { name, value } of stamps) {
    if (hasField(name) || !isSendable(name)) continue;
    own ??= new Map();
    const values = own.get(name);
    if (values === undefined) own.set(name, [value]);
    else values.push(value);
  }
  return own === undefined ? undefined : Object.fromEntries(own);
}

/** @throws {DecodeError} */
export function parseRecord(body: string): WireRecord {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw new DecodeError("RECORD_UNDECODABLE", "the record is not JSON", { cause });
  }
  return checkRecord(value);
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

function checkRecord(value: unknown): WireRecord {
  if (!isObject(value)) throw undecodable("the record is not an object");
  if (!Number.isSafeInteger(value.v)) throw undecodable("v is not a number: this is no record of Symphony Messenger");
  if ((value.v as number) > WIRE_VERSION) {
    throw new DecodeError("RECORD_TOO_NEW", `the record has version ${String(value.v)}, this worker reads up to ${WIRE_VERSION}`, {
      details: { v: value.v },
    });
  }
  needText("id", value.id);
  needText("type", value.type);
  needText("root", value.root);
  if (value.suspect !== undefined && !isCount(value.suspect)) throw undecodable("suspect is not a whole number");
  needCount("tv", value.tv);
  needCount("depth", value.depth);
  needCount("at", value.at);
  if (!("payload" in value)) throw undecodable("payload is missing");
  if (value.headers !== undefined && !(isObject(value.headers) && Object.values(value.headers).every((h) => typeof h === "string")))
    throw undecodable("headers are not strings by name");
  if (value.meta !== undefined && !isObject(value.meta)) throw undecodable("meta is not an object");
  if (
    value.tries !== undefined &&
    !(
      isObject(value.tries) &&
      ["failures", "crashes", "interruptions"].every((c) => isCount((value.tries as Record<string, unknown>)[c] ?? 0))
    )
  )
    throw undecodable("tries are not counters");
  if (value.history !== undefined && !Array.isArray(value.history)) throw undecodable("history is not a list");
  if (value.handled !== undefined && !(Array.isArray(value.handled) && value.handled.every((h) => typeof h === "string")))
    throw undecodable("handled is not a list of names");
  if (value.exp !== undefined && !isCount(value.exp)) throw undecodable("exp is not a time");
  if (value.was !== undefined && !(Array.isArray(value.was) && value.was.every((name) => typeof name === "string")))
    throw undecodable("was is not a list of names");
  if (value.stamps !== undefined && !(isObject(value.stamps) && Object.values(value.stamps).every(Array.isArray)))
    throw undecodable("stamps are not lists by name");
  allowText("parent", value.parent);
  allowText("bus", value.bus);
  allowText("key", value.key);
  allowText("part", value.part);
  return value as unknown as WireRecord;
}

function needText(field: keyof WireRecord, value: unknown): void {
  if (typeof value !== "string" || value === "") throw undecodable(`${field} is not a string`);
}

function allowText(field: keyof WireRecord, value: unknown): void {
  if (value !== undefined && typeof value !== "string") throw undecodable(`${field} is not a string`);
}

function needCount(field: keyof WireRecord, value: unknown): void {
  if (!isCount(value)) throw undecodable(`${field} is not a whole number`);
}

const undecodable = (what: string): DecodeError => new DecodeError("RECORD_UNDECODABLE", `the record cannot be read: ${what}`);

function toEnvelope(record: WireRecord): Envelope {
  return Envelope.decoded({ type: record.type, payload: record.payload }, new WireStamps(record));
}
