import assert from "node:assert/strict";
import { test } from "node:test";
import { feed } from "./feeder.ts";
import { listen, readBody } from "./http.ts";

const deliveries = Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, event: "push", body: `{"i":${i}}` }));
const common = { runId: "r", concurrency: 4, rate: 10_000, onAnswer: () => undefined };

test("posts every delivery once to a receiver that is well", async () => {
  const bodies: string[] = [];
  const server = await listen((request, response) => {
    void readBody(request, 1_000).then((body) => {
      bodies.push(body.toString());
      response.writeHead(202).end();
    });
  }, 0);
  await feed(deliveries, { ...common, url: server.url, signal: new AbortController().signal });
  await server.close();
  assert.deepEqual(bodies.sort(), deliveries.map(({ body }) => body).sort());
});

test("comes again, under the same id, after a 503 and after a broken connection", async () => {
  const ids: string[] = [];
  const server = await listen((request, response) => {
    ids.push(String(request.headers["x-github-delivery"]));
    if (ids.length === 1) response.writeHead(503).end();
    else if (ids.length === 2) response.destroy();
    else response.writeHead(202).end();
  }, 0);
  await feed(deliveries.slice(0, 1), { ...common, url: server.url, signal: new AbortController().signal });
  await server.close();
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
});

test("gives up at once on a webhook that is refused", async () => {
  const server = await listen((_, response) => response.writeHead(400).end(), 0);
  await assert.rejects(feed(deliveries, { ...common, url: server.url, signal: new AbortController().signal }), /answered 400 to k/);
  await server.close();
});

test("ends when it is told to, also while nobody answers", async () => {
  const controller = new AbortController();
  const server = await listen(() => controller.abort(), 0);
  await feed(deliveries, { ...common, url: server.url, signal: controller.signal });
  await server.close();
});
