import assert from "node:assert/strict";
import { test } from "node:test";
import { Envelope, type Stamp } from "./envelope.ts";
import { LazyDelivery } from "./lazy-delivery.ts";
import { outlineOf } from "./outline.ts";
import { createJsonSerializer } from "./serializer.ts";
import {
  busName,
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
} from "./stamps.ts";
import { isSuspect } from "./suspects.ts";
import { asStored } from "./testing/stored-record.ts";

const json = createJsonSerializer();
const ID = "01a22f45-3023-7000-86e5-52c61d6cb9d3";

const record = (payload: unknown, ...more: Stamp[]): string =>
  json.encode(Envelope.wrap({ type: "mail.welcome", payload }, [messageId({ id: ID }), ...more]));

test("tells the type and the bus of an ordinary record as PostgreSQL writes it", () => {
  const ordinary: [string, string | undefined][] = [
    [record({ to: "a" }), undefined],
    [record(null, busName({ bus: "commands" })), "commands"],
    [record("text", busName({ bus: "default" }), lineage({ root: ID, parent: ID, depth: 3 }), expiry({ at: 7 })), "default"],
    [record([], busName({ bus: "b" }), idempotencyKey({ key: "order 7" }), partitionKey({ key: "tenant" })), "b"],
  ];
  for (const [body, bus] of ordinary) assert.deepEqual(outlineOf(asStored(body)), { type: "mail.welcome", bus });
  assert.equal(outlineOf(record({})), undefined, "in another order");
});

test("tells nothing that is not so: what it gives is what reading the record gives", () => {
  const names = ["plain", 'a "type": "b"', "\\", "tries", 'x", "type": "y'];
  let told = 0;
  for (const name of names) {
    const stamps: Stamp[][] = [
      [],
      [busName({ bus: name })],
      [idempotencyKey({ key: name })],
      [partitionKey({ key: name })],
      [headers({ type: name })],
      [metadata({ type: name, bus: name })],
      [olderNames({ names: [name] })],
      [suspect({ crashes: 2 })],
      [lineage({ root: name, parent: name, depth: 1 })],
      [
        lineage({ root: ID, parent: `${name}", "x": "`, depth: 1 }),
        redelivery({ tries: { ...NO_TRIES, crashes: 1 }, history: [], handled: [] }),
      ],
      [{ name: "busName.own", value: { bus: name } }],
    ];
    for (const payload of [{}, { type: name, tries: 1 }, { [name]: name }, name])
      for (const some of stamps) {
        const written = record(payload, ...some);
        for (const body of [written, asStored(written), asStored(written).replaceAll('": ', '":')]) {
          const outline = outlineOf(body);
          if (outline === undefined) continue;
          told += 1;
          const envelope = json.decode(body);
          assert.deepEqual(outline, { type: envelope.message.type, bus: envelope.last(busName)?.bus }, body);
          assert.equal(isSuspect({ receipt: { id: ID, queue: "q", fence: 0 }, queue: "q", priority: 5, body, envelope }), false, body);
        }
      }
  }
  assert.ok(told > 60, `${told} outlines`);
});

test("leaves to reading what it cannot know", () => {
  const foreign = asStored(record({}));
  assert.notEqual(outlineOf(foreign), undefined);
  for (const own of ['"trace": 1, "tries": {"crashes": 1}', '"tries": {"crashes": 1}'])
    assert.equal(outlineOf(foreign.replace('"payload"', `${own}, "payload"`)), undefined, own);
  assert.equal(outlineOf(foreign.replace(/}$/, ', "suspect": 2, "priority": "x"}')), undefined);
  const other = { ...json, decode: () => json.decode(record({}, busName({ bus: "other" }))) };
  assert.equal(other.outline?.(foreign), undefined, "a serializer that reads in another way");
  const tried = asStored(record({})).replace('"payload"', '"tries": {"failures": 0, "crashes": 1, "interruptions": 0}, "payload"');
  for (const body of [tried, "", "null", "[]", "{}", '{"v": 2, "type": "t"}', '{"v": 1, "type": ""}', '{"v": 1, "id": 5, "type": "t"}'])
    assert.equal(outlineOf(body), undefined, body);
});

test("a delivery has an outline until its record is read, and is asked for it once", () => {
  let asked = 0;
  const serializer = {
    ...json,
    outline: (body: string) => {
      asked += 1;
      return outlineOf(body);
    },
  };
  const receipt = { id: ID, queue: "q", fence: 0 };
  const delivery = new LazyDelivery(receipt, 5, asStored(record({})), serializer);
  assert.deepEqual([delivery.outline?.type, delivery.outline?.bus], ["mail.welcome", undefined]);
  assert.equal(asked, 1);
  const read = new LazyDelivery(receipt, 5, asStored(record({})), serializer);
  assert.equal(read.envelope?.message.type, "mail.welcome");
  assert.equal(read.outline, undefined);
  assert.equal(asked, 1);
});
