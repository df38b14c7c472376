import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { type Answer, type AskOptions, adminBed, sharedBed } from "./admin-bed.ts";
import { Document } from "./document.ts";

const bed = await sharedBed();
const document = await Document.of(bed);

const keyed = (path: string, key: string, o: AskOptions = {}, on = bed): Promise<Answer> =>
  on.ask("POST", `/api/symphony/${path}`, { ...o, headers: { "idempotency-key": key } });

const requests = async (): Promise<number> =>
  (await bed.database.query<{ count: number }>("SELECT count(*)::int AS count FROM symphony.messenger_request"))[0]?.count ?? 0;

const audited = async (action: string): Promise<number> =>
  (await bed.database.query<{ count: number }>(`SELECT count(*)::int AS count FROM symphony.messenger_audit WHERE action = '${action}'`))[0]
    ?.count ?? 0;

test("gives the first answer again to the same request with the same key, and does nothing twice", async () => {
  const id = await bed.fail();
  const key = randomUUID();
  const first = await keyed(`failed/${id}/retry`, key);
  const again = await keyed(`failed/${id}/retry`, key);
  assert.deepEqual([first.status, again.status, again.body], [200, 200, first.body]);
  assert.deepEqual([first.headers.get("idempotency-replayed"), again.headers.get("idempotency-replayed")], [null, "true"]);
  assert.equal((await keyed(`failed/${id}/retry`, randomUUID())).status, 404, "another key is another request");
  assert.equal(await audited("retry"), 1 + 1, "one that was done, one that was refused");
  await bed.ask("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
});

test("has one effect when one request comes fifty times at once", async () => {
  const before = await audited("retry");
  await bed.fail();
  const key = randomUUID();
  const answers = await Promise.all(Array.from({ length: 50 }, () => keyed("failed/retry", key, { body: { dryRun: true } })));
  const done = answers.filter(({ status }) => status === 202);
  assert.ok(done.length >= 1);
  // Over the places and seats of the server some are told to come back.
  for (const { status } of answers) assert.ok([202, 503].includes(status), String(status));
  assert.equal(new Set(done.map(({ body }) => body.redrive.id)).size, 1);
  assert.equal((await audited("retry")) - before, 1);
});

test("refuses a key that belongs to another request, and keeps those of two tokens apart", async () => {
  const key = randomUUID();
  const operate = { token: bed.tokens.scoped["symphony:operate"] ?? "" };
  assert.equal((await keyed("queues/images/pause", key, { body: { type: "test.ping" } })).status, 200);
  for (const [path, body] of [
    ["queues/images/pause", {}],
    ["queues/images/pause?transport=default", { type: "test.ping" }],
    ["queues/images/resume", { type: "test.ping" }],
  ] as const) {
    const { status, body: problem } = await keyed(path, key, { body });
    assert.deepEqual([status, problem.code], [422, "IDEMPOTENCY_KEY_REUSED"], path);
  }
  const { status, headers } = await keyed("queues/images/resume", key, { body: { type: "test.ping" }, ...operate });
  assert.deepEqual([status, headers.get("idempotency-replayed")], [200, null]);
});

test("remembers nothing of what was refused, or could not be recorded", async () => {
  const key = randomUUID();
  const before = await requests();
  assert.equal((await keyed("queues/nowhere/pause", key)).status, 404);
  await bed.database.query("ALTER TABLE symphony.messenger_audit ADD CONSTRAINT closed CHECK (false) NOT VALID");
  try {
    assert.equal((await keyed("queues/images/pause", key)).status, 503);
  } finally {
    await bed.database.query("ALTER TABLE symphony.messenger_audit DROP CONSTRAINT closed");
  }
  assert.equal(await requests(), before);
  assert.equal((await keyed("queues/images/pause", key)).status, 200);
  assert.equal((await keyed("queues/images/resume", randomUUID())).status, 200);
});

test("takes a key on every POST of the document, and on nothing else", async () => {
  for (const operation of document.operations) {
    const takes = operation.parameters.some(({ name, in: place }) => place === "header" && name === "Idempotency-Key");
    assert.equal(takes, operation.method === "POST", operation.id);
    if (takes || operation.scope === "cron secret") continue;
    const path = operation.path.replace("{id}", randomUUID()).replace("{name}", "images");
    assert.equal((await bed.ask(operation.method, path, { headers: { "idempotency-key": "x" } })).status, 400, operation.id);
  }
  for (const key of ["", "x".repeat(256), "a\tb"])
    assert.equal((await keyed("queues/images/resume", key)).status, 400, JSON.stringify(key));
});

test("consumes once under one key", async () => {
  const key = randomUUID();
  await bed.ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.ping", payload: 1 } } });
  const first = await keyed("consume", key, { body: { timeLimit: 5_000 } });
  await bed.ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.ping", payload: 2 } } });
  const again = await keyed("consume", key, { body: { timeLimit: 5_000 } });
  assert.deepEqual([first.body.stats.totalProcessed, again.body], [1, first.body]);
});

const nonce = (at = Date.now(), once: string = randomUUID()) => ({
  "x-symphony-timestamp": String(Math.floor(at / 1_000)),
  "x-symphony-nonce": once,
});
const cron = (headers: Readonly<Record<string, string>>, on = bed, o: AskOptions = {}, method = "GET"): Promise<Answer> =>
  on.ask(method, "/api/cron/symphony-worker", { token: on.tokens.cron, headers, ...o });

test("lets a timer in with nothing but the secret, also one that posts an empty object", async () => {
  assert.equal((await cron({})).status, 200);
  assert.equal((await cron({}, bed, {}, "POST")).status, 200);
  assert.equal((await cron({}, bed, { body: {} }, "POST")).status, 200, "as pg_net does");
});

test("lets a call with timestamp and nonce in once, whichever admin process it comes to", async (t) => {
  const other = await adminBed(t, { database: bed.database });
  const call = nonce();
  assert.equal((await cron(call)).status, 200);
  const replays = [await cron(call), await cron(call, bed, {}, "POST"), await cron(call, other)];
  assert.deepEqual(
    replays.map(({ status, body }) => [status, body.code]),
    Array.from({ length: 3 }, () => [409, "REQUEST_REPLAYED"]),
  );
  const statuses = await Promise.all(
    Array.from({ length: 4 }, (_, n) => cron({ ...call, "x-symphony-nonce": "n".repeat(16) }, n % 2 === 0 ? bed : other)),
  );
  assert.deepEqual(statuses.map(({ status }) => status).sort(), [200, 409, 409, 409]);
});

test("refuses a call that is not of now, half a pair, and the secret anywhere else", async () => {
  const now = Date.now();
  for (const at of [now - 65_000, now + 65_000]) assert.equal((await cron(nonce(at))).status, 409);
  for (const at of [now - 50_000, now + 50_000]) assert.equal((await cron(nonce(at))).status, 200);
  const { "x-symphony-nonce": once, "x-symphony-timestamp": timestamp } = nonce();
  const broken = [
    { "x-symphony-nonce": once },
    { "x-symphony-timestamp": timestamp },
    nonce(now, "short"),
    { ...nonce(), "x-symphony-timestamp": "1e9" },
  ];
  for (const headers of broken) assert.equal((await cron(headers)).status, 400, JSON.stringify(headers));
  assert.equal((await bed.ask("GET", "/api/symphony/status", { token: bed.tokens.cron, headers: nonce() })).status, 401);
});

test("refuses a timer without timestamp and nonce when the configuration demands them", async (t) => {
  const strict = await adminBed(t, { env: { SYMPHONY_TEST_CRON_NONCE: "1" } });
  const { status, body } = await cron({}, strict);
  assert.deepEqual([status, body.errors.map(({ path }: { path: string }) => path)], [400, ["X-Symphony-Timestamp", "X-Symphony-Nonce"]]);
  assert.equal((await cron(nonce(), strict)).status, 200);
});
