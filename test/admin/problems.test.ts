import assert from "node:assert/strict";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { type AdminBed, type Answer, adminBed, sharedBed } from "./admin-bed.ts";
import { Document } from "./document.ts";
import { head } from "./raw.ts";

const bed = await sharedBed({ env: { SYMPHONY_TEST_ODD: "1" } });
const document = await Document.of(bed);

const NOBODY = "0190b2c4-8d00-7000-8000-000000000000";
const send = (message: unknown, options: unknown = {}, on = bed): Promise<Answer> =>
  on.ask("POST", "/api/symphony/dispatch", { body: { message, options } });
const resize = (payload: unknown) => ({ type: "image.resize", payload });
const anImage = resize({ url: "https://example.org/a.png", width: 1 });
const post = (path: string, body?: unknown): Promise<Answer> =>
  bed.ask("POST", `/api/symphony/${path}`, body === undefined ? {} : { body });

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n += 1) value = [value];
  return value;
}

/** While a transaction of somebody else holds this. */
async function during(statement: string, ask: () => Promise<Answer>): Promise<Answer> {
  const held = await bed.database.hold(statement);
  try {
    return await ask();
  } finally {
    await held.release();
  }
}

/** While the database is changed like this. */
async function altered(statement: string, undo: string, ask: () => Promise<Answer>): Promise<Answer> {
  await bed.database.query(statement);
  try {
    return await ask();
  } finally {
    await bed.database.query(undo);
  }
}

async function overloaded(): Promise<Answer> {
  await send({ type: "test.wait", payload: {} });
  const consuming = Array.from({ length: 4 }, () => post("consume", { timeLimit: 2_000, batchSize: 1 }));
  let answer = await post("consume", { timeLimit: 1_000 });
  // Until the four are at it.
  while (answer.status === 200) answer = await post("consume", { timeLimit: 1_000 });
  await Promise.all(consuming);
  return answer;
}

async function raced(): Promise<Answer> {
  const id = await bed.fail();
  return post(`messages/${id}/cancel`);
}

/** Asks for more work on the connection of a request that is in progress while the server stops. */
async function whileStopping(t: TestContext): Promise<Answer> {
  const other = await adminBed(t, { env: { SYMPHONY_TEST_ODD: "1", SYMPHONY_SHUTDOWN_TIMEOUT: "2" } });
  await send({ type: "test.wait", payload: {} }, {}, other);
  const { hostname, port } = new URL(other.url);
  const socket = connect(Number(port), hostname);
  const lines = [`Authorization: Bearer ${other.tokens.all}`];
  const consume = head(lines, "/api/symphony/consume", "POST");
  let received = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    received += chunk;
  });
  socket.write(consume);
  while ((await active(other)) === 0);
  other.process.signal("SIGTERM");
  await other.process.waitForLine("stopping");
  socket.write(consume);
  await new Promise((resolve) => socket.once("close", resolve));
  const [, text = ""] = /\r\n\r\n(\{"type".*\})/.exec(received) ?? [];
  assert.notEqual(text, "", received);
  const body = JSON.parse(text);
  return { status: body.status, headers: new Headers({ "content-type": "application/problem+json", "retry-after": "5" }), text, body };
}

const active = async (on: AdminBed): Promise<number> => (await on.ask("GET", "/api/symphony/status")).body.queue.processing;

/** How to meet each of the problems that the document lists. */
const PROVOKE: Readonly<Record<string, (t: TestContext) => Promise<Answer>>> = {
  VALIDATION_FAILED: () => post("queues/images/pause", { typ: "x" }),
  UNAUTHORIZED: () => bed.ask("GET", "/api/symphony/status", { token: null }),
  FORBIDDEN: () => bed.ask("GET", "/api/symphony/status", { token: bed.tokens.scoped["symphony:purge"] ?? "" }),
  NOT_FOUND: () => bed.ask("GET", "/api/symphony/nothing"),
  METHOD_NOT_ALLOWED: () => bed.ask("PUT", "/api/symphony/status"),
  CONFLICT: raced,
  async REQUEST_IN_PROGRESS() {
    await send({ type: "test.wait", payload: {} });
    const consume = () =>
      bed.ask("POST", "/api/symphony/consume", { body: { timeLimit: 2_000, batchSize: 1 }, headers: { "idempotency-key": "busy" } });
    const first = consume();
    while ((await active(bed)) === 0);
    const second = await consume();
    await first;
    return second;
  },
  REQUEST_REPLAYED: () =>
    bed.ask("POST", "/api/cron/symphony-worker", {
      token: bed.tokens.cron,
      headers: { "x-symphony-timestamp": "1700000000", "x-symphony-nonce": "0123456789abcdef" },
    }),
  async IDEMPOTENCY_KEY_REUSED() {
    const pause = (queue: string) => bed.ask("POST", `/api/symphony/queues/${queue}/pause`, { headers: { "idempotency-key": "reused" } });
    await pause("images");
    await post("queues/images/resume");
    return pause("default");
  },
  BODY_TOO_LARGE: () => post("queues/images/pause", { type: "x".repeat(70_000) }),
  UNSUPPORTED_MEDIA_TYPE: () => bed.ask("POST", "/api/symphony/dispatch", { body: "{}", headers: { "content-type": "text/plain" } }),
  async RATE_LIMITED(t) {
    const narrow = await adminBed(t, { env: { SYMPHONY_TEST_NARROW: "1" } });
    const wrong = { token: "w".repeat(43) };
    for (let n = 0; n < 10; n += 1) await narrow.ask("GET", "/api/symphony/status", wrong);
    return narrow.ask("GET", "/api/symphony/status", wrong);
  },
  async INTERNAL() {
    await post("schedules/broken/pause");
    return altered(
      `ALTER TABLE symphony.messenger_schedule RENAME TO hidden;
       CREATE VIEW symphony.messenger_schedule AS SELECT * FROM symphony.hidden WHERE 1 / length(substr(name, 1, 0)) = 1`,
      "DROP VIEW symphony.messenger_schedule; ALTER TABLE symphony.hidden RENAME TO messenger_schedule",
      () => bed.ask("GET", "/api/symphony/schedules"),
    );
  },
  OVERLOADED: overloaded,
  DISPATCH_OPTIONS_INVALID: () => send(anImage, { idempotencyKey: "a", deduplicate: "a" }),
  PAYLOAD_INVALID: () => send(resize({ url: "nowhere", width: 1.5 })),
  PAYLOAD_NOT_JSON: () => send({ type: "test.ping", payload: 1e20 }),
  PAYLOAD_TOO_DEEP: () => send({ type: "test.ping", payload: nested(65) }),
  PAYLOAD_TOO_LARGE: () =>
    bed.ask("POST", "/api/symphony/dispatch", {
      body: `{"message":{"type":"test.ping","payload":[${Array.from({ length: 200_000 }, () => "1e-6").join()}]}}`,
    }),
  TRANSPORT_NOT_FOUND: () => bed.ask("GET", "/api/symphony/status?transport=nowhere"),
  QUEUE_NOT_FOUND: () => post("queues/nowhere/pause"),
  DEAD_LETTER_NOT_FOUND: () => bed.ask("GET", `/api/symphony/failed/${NOBODY}`),
  REDRIVE_NOT_FOUND: () => bed.ask("GET", `/api/symphony/redrives/${NOBODY}`),
  MESSAGE_NOT_FOUND: () => post(`messages/${NOBODY}/cancel`),
  AUDIT_NOT_FOUND: () => post(`audit/${NOBODY}/undo`),
  SCHEDULE_NOT_FOUND: () => post("schedules/nothing/pause"),
  async IDEMPOTENCY_CONFLICT() {
    await send(anImage, { idempotencyKey: "one" });
    return send(resize({ url: "https://example.org/b.png", width: 2 }), { idempotencyKey: "one" });
  },
  COUNT_MISMATCH: () => post("queues/images/purge", { confirm: "images", expectedCount: 999 }),
  async UNDO_IMPOSSIBLE() {
    const id = await bed.fail();
    await bed.ask("DELETE", `/api/symphony/failed/${id}`);
    const { body } = await bed.ask("GET", "/api/symphony/audit?limit=1");
    await post(`audit/${body.records[0].id}/undo`);
    return post(`audit/${body.records[0].id}/undo`);
  },
  MESSAGE_TYPE_UNKNOWN: () => send({ type: "test.unknown", payload: {} }),
  ROUTE_NOT_FOUND: () => send({ type: "odd.unrouted", payload: {} }),
  CAPABILITY_MISSING: () => send(anImage, { partitionKey: "a" }),
  async HANDLER_NOT_FOUND(t) {
    const without = await adminBed(t, { env: { SYMPHONY_TEST_HANDLERS: "0" } });
    return without.ask("POST", "/api/symphony/consume");
  },
  SCHEDULE_FAILED: () => post("schedules/broken/run"),
  TRANSPORT_UNAVAILABLE: () =>
    during("LOCK TABLE symphony.messenger_audit IN ACCESS EXCLUSIVE MODE", () => bed.ask("GET", "/api/symphony/audit")),
  async ISSUER_UNAVAILABLE(t) {
    const alone = await adminBed(t, {
      env: { SYMPHONY_AUTH_JWKS_URL: "http://127.0.0.1:1/.well-known/jwks.json", SYMPHONY_AUTH_ISSUER: "http://127.0.0.1:1" },
    });
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = `${part({ alg: "ES256", kid: "a", typ: "JWT" })}.${part({ iss: "http://127.0.0.1:1", sub: "a" })}.${"A".repeat(86)}`;
    return alone.ask("GET", "/api/symphony/status", { token });
  },
  AUDIT_FAILED: () =>
    altered(
      "ALTER TABLE symphony.messenger_audit ADD CONSTRAINT closed CHECK (false) NOT VALID",
      "ALTER TABLE symphony.messenger_audit DROP CONSTRAINT closed",
      () => post("queues/images/pause"),
    ),
  MESSENGER_CLOSED: whileStopping,
  SCHEMA_VERSION_MISMATCH: () =>
    altered("ALTER TABLE symphony.messenger_schedule RENAME TO hidden", "ALTER TABLE symphony.hidden RENAME TO messenger_schedule", () =>
      bed.ask("GET", "/api/symphony/schedules"),
    ),
};

const problems: readonly { type: string; code: string; status: number }[] = document.raw["x-problems"];

test("the document's list of problems is the one that is provoked here, no more and no less", () => {
  assert.deepEqual(problems.map(({ code }) => code).sort(), Object.keys(PROVOKE).sort());
  assert.deepEqual(
    document.raw.components.schemas.Problem.properties.code.enum,
    problems.map(({ code }) => code),
  );
});

for (const { type, code, status } of problems)
  test(`answers ${status} ${code} as the document says`, async (t) => {
    const answer = await (PROVOKE[code] ?? assert.fail(`nothing provokes ${code}`))(t);
    assert.deepEqual([answer.status, answer.body?.code, answer.body?.type], [status, code, type], answer.text);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
    document.checkProblem(answer);
    if (status === 429 || status === 503) assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
  });
