import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SUBSCRIBER_SECRET } from "./settings.ts";
import { sign } from "./signature.ts";
import { startSubscriberServer } from "./subscriber-server.ts";

const RUN = "0192f0c1-0000-7000-8000-000000000001";
const server = await startSubscriberServer({ port: 0, runId: RUN });
after(() => server.close());

const post = (path: string, id: string, headers: Record<string, string> = {}): Promise<Response> => {
  const body = JSON.stringify({ id });
  return fetch(`${server.url}${path}`, {
    method: "POST",
    headers: {
      "x-webhook-id": id,
      "x-webhook-run": RUN,
      "x-webhook-checksum": id,
      "x-webhook-attempt": "1",
      "x-webhook-signature": sign(body, SUBSCRIBER_SECRET),
      ...headers,
    },
    body,
  });
};

test("hangs up as long as it is down, and takes everything once it is repaired", async () => {
  await assert.rejects(post("/archive", "a1"));
  assert.equal(server.figures().requests.get("down"), 1);
  assert.equal(server.figures().accepted.size, 0);

  server.repair();
  const response = await post("/archive", "a1");
  assert.equal(response.status, 200);
  assert.equal(await response.text(), "a1");
  assert.deepEqual([...server.figures().accepted], ["a1"]);
});

test("counts what comes twice once, and says so", async () => {
  server.repair();
  await post("/chat", "twice");
  const before = server.figures().accepted.size;
  await post("/chat", "twice");
  assert.equal(server.figures().accepted.size, before);
  assert.equal(server.figures().repeated, 1);
});

test("refuses what is not signed with the shared secret", async () => {
  const response = await post("/chat", "forged", { "x-webhook-signature": sign("something else", SUBSCRIBER_SECRET) });
  assert.equal(response.status, 401);
  assert.ok(!server.figures().accepted.has("forged"));
});

test("answers what an earlier run left behind, without counting it", async () => {
  server.repair();
  const response = await post("/chat", "older", { "x-webhook-run": "another run" });
  assert.equal(response.status, 200);
  assert.ok(!server.figures().accepted.has("older"));
});

test("knows no other subscribers", async () => {
  assert.equal((await post("/nobody", "x")).status, 404);
});
