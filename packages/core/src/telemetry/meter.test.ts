import assert from "node:assert/strict";
import { test } from "node:test";
import { type HistogramValue, Meter, type MetricSeries } from "./meter.ts";
import { ATTRIBUTES, DURATION_BUCKETS_S, METRICS, OTHER } from "./names.ts";

const queue = (name: string) => ({ [ATTRIBUTES.destinationName]: name });

test("what several meters drain adds up to the same sums in the one that merges, with nothing counted twice", () => {
  const children = [new Meter(), new Meter()];
  const total = new Meter();
  for (let round = 0; round < 5; round++) {
    for (const child of children) {
      child.counter(METRICS.consumedMessages, queue("a")).add(2);
      child.histogram(METRICS.processDuration, queue("a")).observe(0.02);
      total.merge(child.drain());
      total.merge(child.drain());
    }
  }
  const [consumed, duration] = total.series();
  assert.deepEqual([consumed?.value, consumed?.labels], [20, queue("a")]);
  const { counts, sum } = histogramOf(duration);
  assert.equal(counts[2], 10, "in the bucket up to 25 ms");
  assert.ok(Math.abs(sum - 0.2) < 1e-9);
});

test("drains nothing when nothing was added", () => {
  const meter = new Meter();
  meter.counter(METRICS.consumedMessages, queue("a")).add(1);
  assert.equal(meter.drain().length, 1);
  assert.deepEqual(meter.drain(), []);
  assert.equal(meter.series().length, 1, "the total stays");
});

test("hands over a counter that was made and not used, once: it can be seen at 0 before it rises", () => {
  const meter = new Meter();
  meter.counter(METRICS.messageCrashes, queue("a"));
  assert.deepEqual(meter.drain(), [{ name: METRICS.messageCrashes.name, labels: queue("a"), value: 0 }]);
  assert.deepEqual(meter.drain(), []);
});

test("a merged share is drained again, for a meter further up", () => {
  const thread = new Meter();
  const child = new Meter();
  thread.counter(METRICS.sentMessages, queue("a")).add(3);
  child.merge(thread.drain());
  assert.deepEqual(child.drain(), [{ name: METRICS.sentMessages.name, labels: queue("a"), value: 3 }]);
});

test("the bounds of buckets are inclusive, and what is over the last goes to the end", () => {
  const meter = new Meter();
  const histogram = meter.histogram(METRICS.processDuration);
  for (const bound of DURATION_BUCKETS_S) histogram.observe(bound);
  histogram.observe(1e9);
  assert.deepEqual(histogramOf(meter.series()[0]).counts, new Array(DURATION_BUCKETS_S.length + 1).fill(1));
});

test("a thousand values of a label are kept, the rest is counted together", () => {
  const meter = new Meter();
  for (let i = 0; i < 5_000; i++) meter.counter(METRICS.consumedMessages, queue(`q${i}`)).add(1);
  const series = meter.series();
  assert.equal(series.length, 1_000);
  assert.equal(series.find(({ labels }) => labels[ATTRIBUTES.destinationName] === OTHER)?.value, 4_001);
  assert.equal(
    series.reduce((sum, { value }) => sum + (value as number), 0),
    5_000,
  );
});

test("takes neither unknown names nor values of another kind from outside", () => {
  const meter = new Meter();
  meter.merge([
    { name: "nonsense", labels: {}, value: 1 },
    { name: METRICS.consumedMessages.name, labels: {}, value: { sum: 1, counts: [1] } },
    { name: METRICS.processDuration.name, labels: {}, value: 1 },
    { name: METRICS.queueReady.name, labels: {}, value: 1 },
  ]);
  assert.deepEqual(meter.series(), []);
});

test("leaves out attributes that a metric does not have", () => {
  const meter = new Meter();
  meter.counter(METRICS.consumedMessages, { ...queue("a"), secret: "x" }).add(1);
  assert.deepEqual(meter.series()[0]?.labels, queue("a"));
});

function histogramOf(series: MetricSeries | undefined): HistogramValue {
  assert.ok(typeof series?.value === "object");
  return series.value;
}
