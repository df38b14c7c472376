import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attributes, createTraceState, type Link, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { hrTimeToMilliseconds } from "@opentelemetry/core";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import { systemClock } from "@symphony/core";
import { MessageSpan } from "./message-span.ts";
import { encodeSpans } from "./span-encoder.ts";

const [VARINT, FIXED64, DELIMITED] = [0, 1, 2];

/** Fields of a message in their order, without those that say 0; a length may have been written with leading zeros. */
type Fields = readonly (readonly [field: number, value: bigint | string | Fields])[];

function parse(bytes: Uint8Array): Fields {
  const buffer = Buffer.from(bytes);
  const fields: [number, bigint | string | Fields][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[at++];
      if (byte === undefined) throw new Error("cut off");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < buffer.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    if (wire === VARINT) fields.push([tag >> 3, varint()]);
    else if (wire === DELIMITED) {
      const length = Number(varint());
      if (at + length > buffer.length) throw new Error("cut off");
      fields.push([tag >> 3, inner(buffer.subarray(at, at + length))]);
      at += length;
    } else {
      fields.push([tag >> 3, wire === FIXED64 ? buffer.readBigUInt64LE(at) : BigInt(buffer.readUInt32LE(at))]);
      at += wire === FIXED64 ? 8 : 4;
    }
  }
  return fields.filter(([, value]) => value !== 0n && (typeof value !== "object" || value.length > 0));
}

/** Nothing tells a nested message from text but that it can be read: what both encoders wrote is read in the same way. */
function inner(bytes: Buffer): string | Fields {
  try {
    const fields = parse(bytes);
    if (fields.every(([field]) => field > 0 && field < 20)) return fields;
  } catch {
    // Text, or an id.
  }
  return bytes.toString("latin1");
}

const ended: ReadableSpan[] = [];
const processor = { onEnd: (span: ReadableSpan) => void ended.push(span) } as unknown as SpanProcessor;
const resource = resourceFromAttributes({ "service.name": "Straße", "process.pid": 4_711 }, { schemaUrl: "https://schemas/1" });
const origin = { scope: { name: "@symphony/core", version: "1", schemaUrl: "https://schemas/2" }, resource, processor };
const other = { ...origin, scope: { name: "another" } };

const context = (n: number, isRemote = false) => ({
  traceId: String(n).repeat(32),
  spanId: String(n).repeat(16),
  traceFlags: TraceFlags.SAMPLED,
  ...(isRemote ? { isRemote, traceState: createTraceState("a=1,b=2") } : {}),
});

const STARTED_AT = 1_790_000_000_000;

const PARTS = { name: "process ünïcode", kind: SpanKind.CONSUMER, own: context(1), parent: undefined, attributes: {}, links: [] };

function span(o: { attributes?: Attributes; links?: Link[]; from?: typeof origin | typeof other; parent?: boolean } = {}): MessageSpan {
  const { attributes = {}, links = [], from = origin, parent = true } = o;
  return new MessageSpan(from, {
    ...PARTS,
    parent: parent ? context(2, true) : undefined,
    attributes,
    links,
    start: new Date(STARTED_AT),
  });
}

/** Both encoders say the same. */
function agree(spans: ReadableSpan[]): void {
  const theirs = ProtobufTraceSerializer.serializeRequest(spans);
  assert.deepEqual(parse(encodeSpans(spans)), parse(theirs ?? new Uint8Array()));
}

test("writes what the SDK's encoder writes: times, ids, parents, links, events, status, scopes", () => {
  const links = [{ context: context(3, true), attributes: { why: "retry" } }, { context: context(4) }];
  const whole = span({ attributes: Object.freeze({ "messaging.system": "symphony" }), links });
  whole.setAttribute("messaging.message.id", "0190a0b0").addEvent("exception", { "exception.type": "TypeError" });
  whole.setStatus({ code: SpanStatusCode.ERROR });
  const again = span({ attributes: Object.freeze({ "messaging.system": "symphony" }), parent: false });
  for (const each of [whole, again, span({ from: other })]) each.end(new Date(STARTED_AT + 1));
  agree(ended.splice(0));
});

test("writes attributes of every kind and size", () => {
  const values: Attributes = {
    ...{ text: "x".repeat(100), empty: "", long: "ä".repeat(2_048), yes: true, no: false },
    ...{ zero: 0, one: 1, more: 300, below: -5, large: 2 ** 40, least: -(2 ** 53) + 1, real: 1.5, huge: 1e300 },
    ...{ texts: ["a", "b"], numbers: [1, 2.5], none: [] },
  };
  for (const [name, value] of Object.entries(values)) {
    const one = span({ attributes: { [name]: value as string } });
    one.end(new Date(STARTED_AT + 2));
  }
  span({ attributes: values }).end(new Date(STARTED_AT + 2));
  agree(ended.splice(0));
});

test("writes as many as a batch can hold, growing on the way", () => {
  for (let n = 0; n < 2_048; n++) span({ attributes: Object.freeze({ n: String(n).repeat(20) }) }).end(new Date(STARTED_AT + 3));
  agree(ended.splice(0));
});

test("a span says when it was in the time of the wall clock, though it is measured by another", () => {
  const before = systemClock.monotonic();
  const one = new MessageSpan(origin, { ...PARTS, start: before });
  one.addEvent("seen").end(before + 1_500);
  assert.ok(Math.abs(hrTimeToMilliseconds(one.startTime) - Date.now()) < 1_000, String(one.startTime));
  assert.ok(Math.abs(hrTimeToMilliseconds(one.events[0]?.time ?? [0, 0]) - Date.now()) < 1_000, String(one.events[0]?.time));
  assert.equal(Math.round(hrTimeToMilliseconds(one.duration)), 1_500);
  agree(ended.splice(0));
});

test("a span takes what was set later instead of what it began with, and nothing after its end", () => {
  const one = span({ attributes: Object.freeze({ a: 1, b: 2 }) });
  one.setAttribute("a", 3).setAttribute("c", "x".repeat(5_000));
  one.end(new Date(STARTED_AT + 0));
  one.setAttribute("d", 4).updateName("late");
  assert.deepEqual(one.attributes, { a: 3, b: 2, c: "x".repeat(2_048) });
  assert.equal(one.name, "process ünïcode");
  assert.deepEqual(one.duration, [0, 0], "what ends before it began lasts no time");
  agree(ended.splice(0));
});
