import assert from "node:assert/strict";
import { test } from "node:test";
import { forge, headersOf, loadDeliveries } from "./deliveries.ts";
import { WEBHOOK_SECRET } from "./settings.ts";
import { isSignedWith } from "./signature.ts";

const RUN = "0192f0c1-0000-7000-8000-000000000001";
const deliveries = loadDeliveries();

test("loads the payloads of github.com and of every GitHub Enterprise Server in the package", () => {
  const sources = new Map<string, number>();
  for (const { key } of deliveries) {
    const source = key.slice(0, key.indexOf("/"));
    sources.set(source, (sources.get(source) ?? 0) + 1);
  }
  assert.deepEqual([...sources.keys()], ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"]);
  assert.ok((sources.get("api.github.com") ?? 0) > 300);
  assert.ok(deliveries.length > 700, `only ${deliveries.length} payloads`);
});

test("gives every delivery a key and, in one run, an id of its own", () => {
  assert.equal(new Set(deliveries.map(({ key }) => key)).size, deliveries.length);
  const ids = deliveries.map((delivery) => headersOf(delivery, RUN)["x-github-delivery"]);
  assert.equal(new Set(ids).size, deliveries.length);
  for (const id of ids) assert.match(id ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("gives the same delivery the same id when it is sent again in the run, and another one in the next run", () => {
  const [delivery] = deliveries;
  assert.ok(delivery);
  assert.deepEqual(headersOf(delivery, RUN), headersOf(delivery, RUN));
  assert.notEqual(headersOf(delivery, RUN)["x-github-delivery"], headersOf(delivery, "another")["x-github-delivery"]);
});

test("signs deliveries so that the receiver's secret verifies them, and forgeries so that it does not", () => {
  for (const delivery of deliveries) {
    assert.ok(isSignedWith(headersOf(delivery, RUN)["x-hub-signature-256"] ?? "", delivery.body, WEBHOOK_SECRET));
  }
  const forged = forge(deliveries, 3);
  assert.equal(forged.length, 3);
  for (const delivery of forged) {
    assert.ok(!deliveries.some(({ key }) => key === delivery.key));
    assert.ok(!isSignedWith(headersOf(delivery, RUN, "guessed")["x-hub-signature-256"] ?? "", delivery.body, WEBHOOK_SECRET));
  }
});
