import type { Stamp, StampSource, StampType } from "./envelope.ts";
import {
  busName,
  dispatched,
  expiry,
  headers,
  idempotencyKey,
  lineage,
  messageId,
  metadata,
  NO_TRIES,
  olderNames,
  partitionKey,
  redelivery,
  suspect,
  typeVersion,
} from "./stamps.ts";
import type { WireRecord } from "./wire-record.ts";

type Reader = (record: WireRecord) => unknown;

/** What each of the library's own stamps is in a record, in the order of `Envelope.stamps`; undefined: it is not there. */
const READERS = new Map<string, Reader>([
  reader(messageId, ({ id }) => ({ id })),
  reader(typeVersion, ({ tv }) => ({ version: tv })),
  reader(dispatched, ({ at }) => ({ at })),
  reader(lineage, ({ root, parent, depth }) => (parent === undefined ? { root, depth } : { root, parent, depth })),
  reader(olderNames, ({ was }) => (was === undefined ? undefined : { names: was })),
  reader(expiry, ({ exp }) => (exp === undefined ? undefined : { at: exp })),
  reader(busName, ({ bus }) => (bus === undefined ? undefined : { bus })),
  reader(headers, (record) => record.headers),
  reader(metadata, ({ meta }) => meta),
  reader(idempotencyKey, ({ key }) => (key === undefined ? undefined : { key })),
  reader(partitionKey, ({ part }) => (part === undefined ? undefined : { key: part })),
  reader(redelivery, ({ tries, history, handled }) =>
    tries === undefined && history === undefined && handled === undefined
      ? undefined
      : { tries: { ...NO_TRIES, ...tries }, history: history ?? [], handled: handled ?? [] },
  ),
  reader(suspect, (record) => (record.suspect === undefined || record.suspect === 0 ? undefined : { crashes: record.suspect })),
]);

function reader<Value>(type: StampType<Value>, read: (record: WireRecord) => Value | undefined): [string, Reader] {
  return [type.stampName, read];
}

/** Whether a stamp of this name has a field of its own in a record. */
export const hasField = (name: string): boolean => READERS.has(name);

/** The stamps of a record. A worker asks for one or two of them, so each is made when it is asked for. */
export class WireStamps implements StampSource {
  readonly #record: WireRecord;

  constructor(record: WireRecord) {
    this.#record = record;
  }

  last(name: string): unknown {
    const { stamps } = this.#record;
    if (stamps !== undefined && Object.hasOwn(stamps, name)) {
      const value = stamps[name]?.at(-1);
      if (value !== undefined) return value;
    }
    return READERS.get(name)?.(this.#record);
  }

  all(): readonly Stamp[] {
    const all: Stamp[] = [];
    for (const [name, read] of READERS) {
      const value = read(this.#record);
      if (value !== undefined) all.push({ name, value });
    }
    for (const [name, values] of Object.entries(this.#record.stamps ?? {})) for (const value of values) all.push({ name, value });
    return all;
  }
}
