import type { Attributes, SpanContext } from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { MessageSpan } from "./message-span.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

/** Bits of `Span.flags` and `Link.flags` that say whether the parent, or what is linked to, is in another process. */
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;
/** Characters of a name and its value that are short in any case. */
const SHORT_CHARS = 4_096;

/**
 * An `ExportTraceServiceRequest` of OTLP with these spans. Field numbers are those of opentelemetry-proto 1.x, trace.proto
 * and common.proto; they never change. The exporter's own encoder goes over everything twice, byte by byte.
 */
export function encodeSpans(spans: readonly ReadableSpan[]): Uint8Array {
  const writer = new ProtobufWriter();
  for (const [resource, some] of Map.groupBy(spans, (span) => span.resource)) {
    const end = writer.begin(1);
    writeResource(writer, resource);
    for (const [scope, own] of Map.groupBy(some, (span) => span.instrumentationScope)) writeScope(writer, scope, own);
    if (resource.schemaUrl !== undefined) writer.text(3, resource.schemaUrl);
    writer.end(end);
  }
  return writer.finish();
}

function writeResource(writer: ProtobufWriter, { attributes }: Resource): void {
  const end = writer.begin(1);
  writeAttributes(writer, 1, attributes);
  writer.end(end);
}

function writeScope(writer: ProtobufWriter, scope: InstrumentationScope, spans: readonly ReadableSpan[]): void {
  const end = writer.begin(2);
  const named = writer.begin(1);
  writer.text(1, scope.name);
  if (scope.version !== undefined) writer.text(2, scope.version);
  writer.end(named);
  for (const span of spans) writeSpan(writer, span);
  if (scope.schemaUrl !== undefined) writer.text(3, scope.schemaUrl);
  writer.end(end);
}

function writeSpan(writer: ProtobufWriter, span: ReadableSpan): void {
  const { parentSpanContext: parent, status, events, links } = span;
  const own = span.spanContext();
  const end = writer.begin(2);
  writeIds(writer, own);
  if (parent !== undefined) writer.hex(4, parent.spanId);
  writer.text(5, span.name);
  // The API counts kinds from 0, the protocol keeps that for "unspecified".
  writer.uint(6, span.kind + 1);
  writer.nanoseconds(7, span.startTime);
  writer.nanoseconds(8, span.endTime);
  if (span instanceof MessageSpan) writeNoted(writer, span);
  else writeAttributes(writer, 9, span.attributes);
  if (span.droppedAttributesCount > 0) writer.uint(10, span.droppedAttributesCount);
  for (const event of events) writeEvent(writer, event);
  if (span.droppedEventsCount > 0) writer.uint(12, span.droppedEventsCount);
  for (const link of links) writeLink(writer, link);
  if (span.droppedLinksCount > 0) writer.uint(14, span.droppedLinksCount);
  if (status.code !== 0 || status.message !== undefined) {
    const told = writer.begin(15);
    if (status.message !== undefined) writer.text(2, status.message);
    writer.uint(3, status.code);
    writer.end(told);
  }
  writer.fixed32(16, flagsOf(own.traceFlags, parent));
  writer.end(end);
}

/** Ids, and what the vendors on the way have noted. */
function writeIds(writer: ProtobufWriter, { traceId, spanId, traceState }: SpanContext): void {
  writer.hex(1, traceId);
  writer.hex(2, spanId);
  const state = traceState?.serialize() ?? "";
  if (state !== "") writer.text(3, state);
}

const flagsOf = (traceFlags: number, other: SpanContext | undefined): number =>
  (traceFlags & 0xff) | HAS_IS_REMOTE | (other?.isRemote === true ? IS_REMOTE : 0);

function writeEvent(writer: ProtobufWriter, event: ReadableSpan["events"][number]): void {
  const end = writer.begin(11);
  writer.nanoseconds(1, event.time);
  writer.text(2, event.name);
  writeAttributes(writer, 3, event.attributes ?? {});
  if (event.droppedAttributesCount !== undefined) writer.uint(4, event.droppedAttributesCount);
  writer.end(end);
}

function writeLink(writer: ProtobufWriter, link: ReadableSpan["links"][number]): void {
  const end = writer.begin(13);
  writeIds(writer, link.context);
  writeAttributes(writer, 4, link.attributes ?? {});
  if (link.droppedAttributesCount !== undefined) writer.uint(5, link.droppedAttributesCount);
  writer.fixed32(6, flagsOf(link.context.traceFlags, link.context));
  writer.end(end);
}

/** What all spans of a kind have in common, as bytes. */
const known = new WeakMap<Attributes, Uint8Array>();

function writeNoted(writer: ProtobufWriter, { given, added }: MessageSpan): void {
  if (Object.isFrozen(given)) {
    let bytes = known.get(given);
    if (bytes === undefined) {
      const apart = new ProtobufWriter();
      writeAttributes(apart, 9, given);
      bytes = apart.finish();
      known.set(given, bytes);
    }
    writer.raw(bytes);
  } else writeAttributes(writer, 9, given);
  if (added !== undefined) writeAttributes(writer, 9, added);
}

function writeAttributes(writer: ProtobufWriter, field: number, attributes: Readonly<Record<string, unknown>>): void {
  for (const name in attributes) {
    const value = attributes[name];
    if (value === undefined || value === null) continue;
    const isShort = typeof value !== "object" && name.length + String(value).length < SHORT_CHARS;
    const end = writer.begin(field, isShort);
    writer.text(1, name);
    const valueEnd = writer.begin(2, isShort);
    writeValue(writer, value);
    writer.end(valueEnd);
    writer.end(end);
  }
}

function writeNumber(writer: ProtobufWriter, value: number): void {
  if (Number.isSafeInteger(value)) writer.int64(3, value);
  else writer.double(4, value);
}

/** The fields of an `AnyValue`. */
function writeValue(writer: ProtobufWriter, value: unknown): void {
  if (typeof value === "string") writer.text(1, value);
  else if (typeof value === "boolean") writer.uint(2, value ? 1 : 0);
  else if (typeof value === "number") writeNumber(writer, value);
  else if (value instanceof Uint8Array) writer.bytes(7, value);
  else if (Array.isArray(value)) {
    const end = writer.begin(5);
    for (const item of value) {
      const itemEnd = writer.begin(1);
      writeValue(writer, item);
      writer.end(itemEnd);
    }
    writer.end(end);
  } else if (typeof value === "object" && value !== null) {
    const end = writer.begin(6);
    writeAttributes(writer, 1, value as Readonly<Record<string, unknown>>);
    writer.end(end);
  }
}
