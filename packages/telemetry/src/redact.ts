import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { MessageSpan } from "./message-span.ts";

/** What an instrumentation may have copied out of a message, a row or a request. */
const HIDDEN: ReadonlySet<string> = new Set(["exception.message", "exception.stacktrace", "url.query", "http.target"]);
const STATEMENTS: ReadonlySet<string> = new Set(["db.statement", "db.query.text"]);
/** Text in quotes of any kind, and numbers that are no parameters and no part of a name; an unclosed quote hides the rest. */
const LITERALS = /'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)|(?<![\w$])\d+(?:\.\d+)?\b/gs;
const URLS: ReadonlySet<string> = new Set(["url.full", "http.url"]);

/**
 * Passes spans on without the words of errors and without the queries of URLs: both quote what they were given. Class
 * names of errors, statements without their literals, hosts and paths stay.
 */
export function withoutSecrets(exporter: SpanExporter): SpanExporter {
  return {
    export: (spans, done) => exporter.export(spans.map(redacted), done),
    shutdown: () => exporter.shutdown(),
    ...(exporter.forceFlush === undefined ? {} : { forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve() }),
  };
}

function redacted(span: ReadableSpan): ReadableSpan {
  if (isClean(span)) return span;
  const { name, kind, parentSpanContext, startTime, endTime, links, duration, ended, resource, instrumentationScope } = span;
  return {
    ...{ name, kind, startTime, endTime, links, duration, ended, resource, instrumentationScope },
    ...(parentSpanContext === undefined ? {} : { parentSpanContext }),
    spanContext: () => span.spanContext(),
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount,
    attributes: clean(span.attributes),
    events: span.events.map((event) => ({ ...event, attributes: clean(event.attributes ?? {}) })),
    status: { code: span.status.code },
  };
}

function isClean(span: ReadableSpan): boolean {
  if (span.status.message !== undefined || span.events.some((event) => isSensitive(event.attributes ?? {}))) return false;
  if (!(span instanceof MessageSpan)) return !isSensitive(span.attributes);
  // What many have in common is the library's own.
  const isGivenClean = Object.isFrozen(span.given) || !isSensitive(span.given);
  return isGivenClean && (span.added === undefined || !isSensitive(span.added));
}

function isSensitive(attributes: Readonly<Record<string, unknown>>): boolean {
  for (const name in attributes) if (HIDDEN.has(name) || STATEMENTS.has(name) || URLS.has(name)) return true;
  return false;
}

function clean<T extends Readonly<Record<string, unknown>>>(attributes: T): T {
  const kept = Object.entries(attributes).filter(([name]) => !HIDDEN.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, typeof value === "string" ? cleanValue(name, value) : value])) as T;
}

function cleanValue(name: string, value: string): string {
  if (URLS.has(name)) return value.replace(/[?#].*$/s, "");
  return STATEMENTS.has(name) ? value.replace(LITERALS, "?") : value;
}
