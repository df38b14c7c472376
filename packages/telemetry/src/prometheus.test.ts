import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTRIBUTES, METRICS, Meter } from "@symphony/core";
import { prometheusText } from "./prometheus.ts";

test("writes counters with their labels, quoted", () => {
  const meter = new Meter();
  meter.counter(METRICS.consumedMessages, { [ATTRIBUTES.destinationName]: 'a"b\\c\nd' }).add(3);
  assert.equal(
    prometheusText(meter.series()),
    `# HELP messaging_client_consumed_messages_total Messages that were received, once per delivery
# TYPE messaging_client_consumed_messages_total counter
messaging_client_consumed_messages_total{messaging_destination_name="a\\"b\\\\c\\nd"} 3
`,
  );
});

test("writes histograms with cumulative buckets, sum and count", () => {
  const meter = new Meter();
  const histogram = meter.histogram(METRICS.processDuration, { [ATTRIBUTES.destinationName]: "q" });
  for (const seconds of [0.001, 0.02, 0.02, 1_000]) histogram.observe(seconds);
  const text = prometheusText(meter.series());
  const lines = text.split("\n");
  const bucket = (le: string): string => `messaging_process_duration_seconds_bucket{messaging_destination_name="q",le="${le}"}`;
  assert.ok(lines.includes(`${bucket("0.005")} 1`), text);
  assert.ok(lines.includes(`${bucket("0.025")} 3`), text);
  assert.ok(lines.includes(`${bucket("600")} 3`), text);
  assert.ok(lines.includes(`${bucket("+Inf")} 4`), text);
  assert.ok(lines.includes('messaging_process_duration_seconds_sum{messaging_destination_name="q"} 1000.041'), text);
  assert.ok(lines.includes('messaging_process_duration_seconds_count{messaging_destination_name="q"} 4'), text);
});

test("leaves out what has no name of ours", () => {
  assert.equal(prometheusText([{ name: "nonsense", labels: {}, value: 1 }]), "");
});
