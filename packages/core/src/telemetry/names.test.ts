import assert from "node:assert/strict";
import { test } from "node:test";
import { METRICS, prometheusName, spanName } from "./names.ts";

test("translates metric names the way Prometheus exporters do", () => {
  assert.equal(prometheusName(METRICS.processDuration), "messaging_process_duration_seconds");
  assert.equal(prometheusName(METRICS.sentMessages), "messaging_client_sent_messages_total");
  assert.equal(prometheusName(METRICS.queueOldestAge), "symphony_queue_oldest_age_seconds");
  assert.equal(prometheusName(METRICS.queueReady), "symphony_queue_ready");
});

test("gives every metric a name of its own, in a namespace that is ours or the conventions'", () => {
  const names = Object.values(METRICS).map((definition) => definition.name);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^(messaging|symphony)\.[a-z_.]+$/);
});

test("names a span after what is done and where", () => {
  assert.equal(spanName("process", "images"), "process images");
});
