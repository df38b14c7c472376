import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Envelope, type Stamp } from "./envelope.ts";
import { createJsonSerializer, parseRecord } from "./serializer.ts";
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
import { asStored } from "./testing/stored-record.ts";
import { usualRecord } from "./usual-record.ts";
import type { WireRecord } from "./wire-record.ts";

const json = createJsonSerializer();
const ID = "01a22f45-3023-7000-86e5-52c61d6cb9d3";

const record = (payload: unknown, stamps: readonly Stamp[] = [], type = "mail.welcome"): string =>
  json.encode(Envelope.wrap({ type, payload }, [messageId({ id: ID }), ...stamps]));

/** Every field, those that are read late included. */
function fieldsOf(read: WireRecord): Partial<WireRecord> {
  const { v, id, type, tv, payload, root, parent, depth, at, bus, key, part, exp, headers: head, meta, tries, handled, stamps } = read;
  const { was, history, suspect: crashes } = read;
  const all = { v, id, type, tv, payload, root, parent, depth, at, bus, key, part, exp, headers: head, meta, tries, handled, stamps };
  return { ...all, was, history, suspect: crashes } as Partial<WireRecord>;
}

/** What reading it as a whole says; undefined when it cannot be read. */
function readWhole(body: string): Partial<WireRecord> | undefined {
  try {
    return fieldsOf(parseRecord(body));
  } catch {
    return undefined;
  }
}

/** True: it was recognised. */
function saysTheSame(body: string): boolean {
  const usual = usualRecord(body);
  if (usual === undefined) return false;
  assert.deepEqual(fieldsOf(usual), readWhole(body), body);
  return true;
}

const parented = lineage({ root: ID, parent: ID, depth: 3 });

test("reads an ordinary record as PostgreSQL writes it, with and without a bus and a parent", () => {
  const bus = busName({ bus: "commands" });
  for (const payload of [null, 0, "text", [], {}, { to: "a", deep: [{ "}": "{" }] }, { suspect: 1, payload: 2 }, 'a "quoted" \\ one'])
    for (const stamps of [[], [bus], [parented], [bus, parented, typeVersion({ version: 7 }), dispatched({ at: Date.UTC(2026, 0) })]]) {
      assert.equal(saysTheSame(asStored(record(payload, stamps))), true);
      assert.equal(saysTheSame(record(payload, stamps)), false, "fields in another order");
    }
});

test("leaves to reading as a whole what anything has happened to, or what anything travels with", () => {
  const unusual: readonly Stamp[] = [
    headers({ traceparent: "00" }),
    metadata({ by: "test" }),
    expiry({ at: 7 }),
    idempotencyKey({ key: "order 7" }),
    partitionKey({ key: "tenant" }),
    olderNames({ names: ["old"] }),
    redelivery({ tries: { ...NO_TRIES, crashes: 1 }, history: [], handled: [] }),
    suspect({ crashes: 2 }),
    busName({ bus: 'with "quotes"' }),
    lineage({ root: "back\\slash", depth: 0 }),
    { name: "own", value: 1 },
  ];
  for (const stamp of unusual) assert.equal(usualRecord(asStored(record({}, [stamp]))), undefined, stamp.name);
  assert.equal(usualRecord(asStored(record({}, [], "line\nbreak"))), undefined);
});

test("says nothing that reading as a whole does not say, whatever was done to a record", () => {
  const body = asStored(record({ to: "a", list: [1, "x"] }, [busName({ bus: "b" }), parented]));
  const pieces = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    ", ",
    ": ",
    "0",
    "7",
    "-",
    ".",
    "e",
    "\n",
    "\u0000",
    '"payload": ',
    '"v": ',
    ', "suspect": 2',
    "é",
    " ",
  ];
  let [recognised, damaged] = [0, 0];
  fc.assert(
    fc.property(fc.nat(body.length), fc.nat(12), fc.array(fc.constantFrom(...pieces), { maxLength: 3 }), (at, length, added) => {
      const changed = body.slice(0, at) + added.join("") + body.slice(at + length);
      if (saysTheSame(changed)) recognised += 1;
      else if (readWhole(changed) === undefined) damaged += 1;
    }),
    { numRuns: 5_000 },
  );
  assert.ok(recognised > 100 && damaged > 100, `${recognised} recognised, ${damaged} damaged`);
});

test("is what a message is decoded from", () => {
  const body = asStored(record({ to: "a" }, [parented]));
  const envelope = json.decode(body);
  assert.deepEqual(envelope.message, { type: "mail.welcome", payload: { to: "a" } });
  assert.deepEqual(envelope.last(lineage), { root: ID, parent: ID, depth: 3 });
  assert.equal(envelope.last(redelivery), undefined);
  assert.equal(json.encode(envelope), json.encode(json.decode(JSON.stringify(JSON.parse(body)))));
  assert.throws(() => json.decode(`${body.slice(0, -1)}, }`), { code: "RECORD_UNDECODABLE" });
});
