import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanStatusCode } from "@opentelemetry/api";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { withoutSecrets } from "./redact.ts";

const CANARY = "c4n4ry";

function exported(attributes: Record<string, string>) {
  const memory = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: withoutSecrets(memory) })] });
  const span = provider.getTracer("test").startSpan("work", { attributes });
  span.recordException(new TypeError(`cannot read ${CANARY}`));
  span.setStatus({ code: SpanStatusCode.ERROR, message: CANARY });
  span.end();
  const [found] = memory.getFinishedSpans();
  assert.ok(found);
  return found;
}

test("leaves out what errors say, and keeps their class", () => {
  const { status, events, name } = exported({});
  assert.deepEqual(status, { code: SpanStatusCode.ERROR });
  assert.equal(events[0]?.attributes?.["exception.type"], "TypeError");
  assert.equal(name, "work");
  assert.ok(!JSON.stringify([status, events]).includes(CANARY));
});

test("leaves out the queries of URLs and the literals of statements", () => {
  const { attributes } = exported({
    "url.full": `https://api.example.com/a?token=${CANARY}#${CANARY}`,
    "url.query": `token=${CANARY}`,
    "db.query.text": `SELECT $1, col2 FROM t4 WHERE a = '${CANARY}''s' AND b = 4111111111111111 AND c = $q$${CANARY}$q$ AND d = '${CANARY}`,
  });
  assert.deepEqual(attributes, {
    "url.full": "https://api.example.com/a",
    "db.query.text": "SELECT $1, col2 FROM t4 WHERE a = ? AND b = ? AND c = ? AND d = ?",
  });
});
