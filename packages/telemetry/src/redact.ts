import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";

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
  const own: PropertyDescriptorMap = {
    attributes: { value: clean(span.attributes) },
    events: { value: span.events.map((event) => ({ ...event, attributes: clean(event.attributes ?? {}) })) },
    status: { value: { code: span.status.code } },
  };
  // The rest is read from the span itself, which has getters.
  return Object.create(span, own) as ReadableSpan;
}

function clean<T extends Readonly<Record<string, unknown>>>(attributes: T): T {
  const kept = Object.entries(attributes).filter(([name]) => !HIDDEN.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, typeof value === "string" ? cleanValue(name, value) : value])) as T;
}

function cleanValue(name: string, value: string): string {
  if (URLS.has(name)) return value.replace(/[?#].*$/s, "");
  return STATEMENTS.has(name) ? value.replace(LITERALS, "?") : value;
}
