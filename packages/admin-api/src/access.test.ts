import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Clock, MessengerError, systemClock, systemRuntime } from "@symphony/core";
import { createAdminServer, createToken, SCOPES, type Scope, type TokenListEntry } from "./index.ts";
import { ROUTES, type RouteEntry, type RouteName } from "./routes/table.ts";
import { CRON_SECRET, memory, startAdmin, TOKEN } from "./testing/admin.ts";

/** A clock that a test can set forward. */
function movableClock(): Clock & { aheadMs: number } {
  const clock = {
    aheadMs: 0,
    now: () => systemClock.now() + clock.aheadMs,
    monotonic: () => systemClock.monotonic() + clock.aheadMs,
    schedule: systemClock.schedule,
  };
  return clock;
}

async function tokensFile(t: TestContext, entries: readonly TokenListEntry[]): Promise<{ path: string; write(text: string): void }> {
  const directory = await mkdtemp(join(tmpdir(), "symphony-tokens-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "tokens.json");
  // As a mounted secret changes: another file takes the name.
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  write(JSON.stringify({ tokens: entries }));
  return { path, write };
}

const routes = Object.entries(ROUTES) as [RouteName, RouteEntry][];
const pathOf = (entry: RouteEntry): string => entry.path.replace(":id", randomUUID()).replace(":name", "images");
const BODIES: Partial<Record<RouteName, unknown>> = {
  dispatch: { message: { type: "test.ping", payload: null } },
  removeManyFailed: { all: true, dryRun: true },
  purgeQueue: { confirm: "images", expectedCount: 0 },
};
const bodyOf = (name: RouteName): { body?: unknown } => (BODIES[name] === undefined ? {} : { body: BODIES[name] });

test("opens every route to its own scope and to nothing else", async (t) => {
  const single = Object.fromEntries(SCOPES.map((scope) => [scope, createToken({ name: scope.replace(":", "."), scopes: [scope] })]));
  const expired = createToken({ name: "expired", scopes: SCOPES, expiresAt: "2020-01-01T00:00:00Z" });
  const { path } = await tokensFile(
    t,
    [...Object.values(single), expired].map(({ entry }) => entry),
  );
  const admin = await startAdmin(t, { auth: { token: TOKEN, tokensFile: path, cronSecret: CRON_SECRET } });
  for (const [name, entry] of routes) {
    const status = async (token: string | null): Promise<number> =>
      (await admin.call(entry.method, pathOf(entry), { token, ...bodyOf(name) })).status;
    const what = (who: string): string => `${entry.method} ${entry.path} with ${who}`;
    const others = [null, "wrong-wrong-wrong-wrong-wrong-wrong-wrong", expired.token, ""];
    for (const token of others) assert.equal(await status(token), 401, what(String(token)));
    const isCron = entry.access === "cron secret";
    for (const scope of SCOPES) {
      const got = await status(single[scope]?.token ?? null);
      if (scope === entry.access) assert.ok(got < 300 || got === 404, what(`${scope}: ${got}`));
      else assert.equal(got, 403, what(scope));
    }
    assert.equal(await status(CRON_SECRET), isCron ? 200 : 401, what("the cron secret"));
    const all = await status(TOKEN);
    assert.ok(isCron ? all === 403 : all < 300 || all === 404, what(`all scopes: ${all}`));
  }
});

test("answers unknown, wrong and expired tokens alike, and says how to ask", async (t) => {
  const expired = createToken({ name: "old", scopes: ["symphony:read"], expiresAt: "2020-01-01T00:00:00Z" });
  const { path } = await tokensFile(t, [expired.entry]);
  const admin = await startAdmin(t, { auth: { token: TOKEN, tokensFile: path } });
  const headers = { "x-request-id": "same" };
  const replies = await Promise.all(
    [expired.token, "unknown", `${TOKEN}x`].map((token) => admin.call("GET", "/api/symphony/status", { token, headers })),
  );
  assert.equal(new Set(replies.map((reply) => reply.text)).size, 1);
  for (const reply of replies) assert.equal(reply.headers.get("www-authenticate"), 'Bearer realm="symphony", error="invalid_token"');
  const denied = await admin.call("GET", "/api/symphony/status", { token: CRON_SECRET });
  assert.equal(denied.status, 401);
});

test("lets a token in from its networks only, and answers from elsewhere as if it were unknown", async (t) => {
  const [here, elsewhere, old] = ["here", "elsewhere", "old"].map((name) => createToken({ name, scopes: ["symphony:read"] }));
  assert.ok(here !== undefined && elsewhere !== undefined && old !== undefined);
  const { path } = await tokensFile(t, [
    { ...here.entry, from: ["127.0.0.0/8", "fd00::/8"] },
    { ...elsewhere.entry, from: ["10.0.0.0/8"] },
    { ...old.entry, expiresAt: "2020-01-01T00:00:00Z" },
  ]);
  const admin = await startAdmin(t, { auth: { tokensFile: path } });
  const status = async (token: string) => (await admin.call("GET", "/api/symphony/status", { token })).status;
  assert.deepEqual([await status(here.token), await status(elsewhere.token), await status(old.token)], [200, 401, 401]);
  assert.ok(admin.logger.records.some(({ message, fields }) => /have expired/.test(message ?? "") && String(fields.expired) === "old"));
  await assert.rejects(
    async () =>
      createAdminServer({
        messenger: admin.messenger,
        auth: { tokensFile: (await tokensFile(t, [{ ...here.entry, from: ["10.0.0.0/33"] }])).path },
      }),
    {
      code: "CONFIG_INVALID",
      message: /must be a network/,
    },
  );
});

test("reads the tokens file again within a second, and keeps what it has when the new one is broken", async (t) => {
  const clock = movableClock();
  const [first, second] = [createToken({ name: "a", scopes: ["symphony:read"] }), createToken({ name: "a", scopes: ["symphony:read"] })];
  const file = await tokensFile(t, [first.entry]);
  const admin = await startAdmin(t, { auth: { tokensFile: file.path }, runtime: { ...systemRuntime, clock } });
  const status = async (token: string): Promise<number> => (await admin.call("GET", "/api/symphony/status", { token })).status;
  assert.deepEqual([await status(first.token), await status(second.token)], [200, 401]);
  file.write(JSON.stringify({ tokens: [first.entry, second.entry] }));
  clock.aheadMs += 1_000;
  assert.deepEqual([await status(first.token), await status(second.token)], [200, 200], "old and new overlap");
  file.write("{ broken");
  clock.aheadMs += 1_000;
  assert.deepEqual([await status(first.token), await status(second.token)], [200, 200]);
  assert.equal(admin.logger.messages("error").length, 1);
  file.write(JSON.stringify({ tokens: [second.entry] }));
  clock.aheadMs += 1_000;
  assert.deepEqual([await status(first.token), await status(second.token)], [401, 200]);
});

test("stays closed without credentials, and refuses weak ones without repeating them", async (t) => {
  const { messenger } = await startAdmin(t);
  const refusal = (auth: object): string => {
    try {
      createAdminServer({ messenger, auth });
    } catch (error) {
      assert.ok(error instanceof MessengerError && error.code === "CONFIG_INVALID");
      return error.message;
    }
    return "";
  };
  assert.match(refusal({}), /set SYMPHONY_AUTH_TOKEN to a random token/);
  const weak = ["short", "a".repeat(64), "password".repeat(8), "abcdefghijklmnopabcdefghijklmnop", `${"x".repeat(31)} `, "1".repeat(31)];
  for (const token of weak) {
    assert.match(refusal({ token }), /^SYMPHONY_AUTH_TOKEN /, token);
    assert.ok(!refusal({ token }).includes(token));
  }
  assert.match(refusal({ cronSecret: "short" }), /^CRON_SECRET must have at least 16/);
  const { path, write } = await tokensFile(t, []);
  write('{ "tokens": [{ "name": "x", "sha256": "my-plain-secret", "scopes": ["symphony:all"], "extra": 1 }] }');
  const message = refusal({ tokensFile: path });
  assert.match(message, /tokens\[0\]\.sha256.*tokens\[0\]\.scopes\[0\].*tokens\[0\]\.extra/s);
  assert.ok(!message.includes("my-plain-secret"));
  assert.match(refusal({ tokensFile: `${path}.missing` }), /cannot be read/);
});

test("shows payloads only with their scope, and without it redacts headers and metadata", async (t) => {
  const tokens = (["symphony:read", "symphony:payload"] as const).map((scope) => scope);
  const reader = createToken({ name: "reader", scopes: ["symphony:read"] });
  const seer = createToken({ name: "seer", scopes: tokens as readonly Scope[] });
  const { path } = await tokensFile(t, [reader.entry, seer.entry]);
  const admin = await startAdmin(t, { auth: { token: TOKEN, tokensFile: path } });
  const options = { headers: { tenant: "canary-header", traceparent: "00-1-2-01" }, metadata: { user: "canary-metadata" } };
  const body = { message: { type: "test.fail", payload: { secret: "canary-payload" } }, options };
  const { body: sent } = await admin.call("POST", "/api/symphony/dispatch", { body });
  await admin.call("POST", "/api/symphony/consume");
  for (const where of ["/api/symphony/failed", `/api/symphony/failed/${sent.messageId}`]) {
    const blind = await admin.call("GET", where, { token: reader.token });
    assert.ok(!blind.text.includes("canary"), blind.text);
    const shown = blind.body.message ?? blind.body.messages[0];
    assert.ok(!("payload" in shown), "absent, not empty");
    assert.deepEqual(shown.headers, { tenant: "[redacted]", traceparent: "00-1-2-01" });
    const seen = await admin.call("GET", where, { token: seer.token });
    const full = seen.body.message ?? seen.body.messages[0];
    assert.deepEqual([full.payload, full.headers, full.metadata], [body.message.payload, options.headers, options.metadata]);
  }
  assert.ok(!JSON.stringify(admin.logger.records).includes("canary"), "nor in the log");
});

test("leaves large payloads out of lists, and shows them one by one", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail({ text: "x".repeat(70_000) });
  const { body: list } = await admin.call("GET", "/api/symphony/failed");
  assert.equal(list.messages[0].payloadOmitted, true);
  assert.ok(!("payload" in list.messages[0]));
  const { body: one } = await admin.call("GET", `/api/symphony/failed/${id}`);
  assert.equal(one.message.payload.text.length, 70_000);
});

test("opens the documents, and nothing else, when they are public", async (t) => {
  const admin = await startAdmin(t, { auth: { token: TOKEN, publicDocs: true } });
  for (const [, entry] of routes) {
    const { status } = await admin.call(entry.method, pathOf(entry), { token: null });
    assert.equal(status, entry.isDocs === true ? 200 : 401, entry.path);
  }
});

test("limits requests by token and failures by address, and says when to come back", async (t) => {
  const clock = movableClock();
  const admin = await startAdmin(t, {
    limits: { requestsPerMinute: 3, failuresPerMinute: 2 },
    runtime: { ...systemRuntime, clock },
  });
  const call = (token: string) => admin.call("GET", "/api/symphony/queues", { token });
  const [good, bad] = [[], []] as [number[], number[]];
  for (let i = 0; i < 4; i++) bad.push((await call("wrong")).status);
  for (let i = 0; i < 4; i++) good.push((await call(TOKEN)).status);
  assert.deepEqual(bad, [401, 401, 429, 429]);
  assert.deepEqual(good, [200, 200, 200, 429], "a valid token is not locked out by the failures of others");
  const refused = await call(TOKEN);
  assert.equal(refused.body.code, "RATE_LIMITED");
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal(refused.headers.get("ratelimit-policy"), '"default";q=3;w=60');
  clock.aheadMs += 60_001;
  assert.deepEqual([(await call(TOKEN)).status, (await call("wrong")).status], [200, 401]);
  assert.equal(
    admin.logger.messages("warn").filter((text) => text === "authentication failed").length,
    3,
    "a flood is not logged line by line",
  );
});

test("behind proxies of one's own the failures of each client count, whatever it says of itself", async (t) => {
  const admin = await startAdmin(t, { limits: { failuresPerMinute: 1 }, trustedProxies: 2 });
  const from = async (header?: string): Promise<number> => {
    const headers = header === undefined ? {} : { "x-forwarded-for": header };
    return (await admin.call("GET", "/api/symphony/queues", { token: "wrong", headers })).status;
  };
  // The outer proxy has seen the client, the inner one the outer.
  assert.deepEqual([await from("192.0.2.1, 10.0.0.1"), await from("192.0.2.2, 10.0.0.1")], [401, 401]);
  assert.equal(await from("192.0.2.9, 192.0.2.1, 10.0.0.1"), 429, "a client cannot be another one");
  // Past a proxy, without any, and with nonsense: what is there is what counts.
  assert.deepEqual([await from("192.0.2.3"), await from("192.0.2.3")], [401, 429]);
  assert.deepEqual([await from(), await from("<script>, 10.0.0.1")], [401, 429], "nonsense counts for the proxy itself");
  const addresses = admin.logger.records.filter(({ message }) => message === "authentication failed").map(({ fields }) => fields.address);
  assert.deepEqual(addresses.slice(0, 3), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
});

test("believes nobody about addresses when nothing is said about proxies", async (t) => {
  const admin = await startAdmin(t, { limits: { failuresPerMinute: 1 } });
  const from = async (address: string): Promise<number> =>
    (await admin.call("GET", "/api/symphony/queues", { token: "wrong", headers: { "x-forwarded-for": address } })).status;
  assert.deepEqual([await from("192.0.2.1"), await from("192.0.2.2")], [401, 429]);
});

test("logs who did what to which message with what outcome, and never the token", async (t) => {
  const admin = await startAdmin(t);
  const id = await admin.fail();
  await admin.call("DELETE", `/api/symphony/failed/${id}`);
  await admin.call("DELETE", `/api/symphony/failed/${id}`);
  const lines = admin.logger.records.filter(({ message }) => message === "action").map(({ fields }) => fields);
  assert.deepEqual(
    lines.map(({ action, target, status, outcome }) => [action, target, status, outcome]),
    [
      ["dispatch", id, 201, "done"],
      ["consume", null, 200, "done"],
      ["remove", id, 200, "done"],
      ["remove", id, 404, "DEAD_LETTER_NOT_FOUND"],
    ],
  );
  assert.ok(
    lines.every(({ audit, principal, request_id }) => audit === true && principal === "SYMPHONY_AUTH_TOKEN" && request_id !== undefined),
  );
  assert.ok(!JSON.stringify(admin.logger.records).includes(TOKEN));
});

test("answers 503 with Retry-After while the database is away, and shows the last status for five seconds", async (t) => {
  const clock = movableClock();
  const transport = memory();
  const admin = await startAdmin(t, { transport, runtime: { ...systemRuntime, clock } });
  assert.equal((await admin.call("GET", "/api/symphony/status")).body.stale, false);
  assert.equal((await admin.call("GET", "/api/symphony/scaling")).body.stale, false);
  await transport.close();
  const stale = await admin.call("GET", "/api/symphony/status");
  assert.deepEqual([stale.status, stale.body.stale], [200, true]);
  clock.aheadMs += 5_001;
  for (const [method, path, body] of [
    ["GET", "/api/symphony/status"],
    ["GET", "/api/symphony/queues"],
    ["GET", "/api/symphony/failed"],
    ["POST", `/api/symphony/failed/${randomUUID()}/retry`],
    ["POST", "/api/symphony/dispatch", { message: { type: "test.ping", payload: 1 } }],
  ] as const) {
    const reply = await admin.call(method, path, body === undefined ? {} : { body });
    assert.deepEqual([reply.status, reply.body.code], [503, "TRANSPORT_UNAVAILABLE"], path);
    assert.equal(reply.headers.get("retry-after"), "5");
    assert.equal(reply.body.detail, "the store behind the transport cannot be reached");
  }
  const scaling = await admin.call("GET", "/api/symphony/scaling");
  assert.deepEqual([scaling.status, scaling.body.stale], [200, true]);
});
