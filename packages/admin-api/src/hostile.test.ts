import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { test } from "node:test";
import { type Admin, CRON_SECRET, startAdmin, TOKEN } from "./testing/admin.ts";

const LIST = "/api/symphony/failed";
const DISPATCH = "/api/symphony/dispatch";
const ping = (payload: string): string => `{"message":{"type":"test.ping","payload":${payload}}}`;

/** Bytes as they are, and the status line that comes back; empty when the connection was just closed. */
function raw(admin: Admin, text: string): Promise<string> {
  const { hostname, port } = new URL(admin.url);
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(Number(port), hostname, () => socket.write(text));
    const done = (): void => {
      socket.destroy();
      resolve(received.split("\r\n")[0] ?? "");
    };
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      received += chunk;
      if (received.includes("\r\n\r\n")) done();
    });
    socket.on("error", done).on("close", done);
  });
}

const head = (lines: readonly string[], target = LIST, method = "GET"): string =>
  `${[`${method} ${target} HTTP/1.1`, "Host: localhost", ...lines].join("\r\n")}\r\n\r\n`;
const auth = `Authorization: Bearer ${TOKEN}`;

test("takes credentials from one well-formed Authorization header and from nowhere else", async (t) => {
  const admin = await startAdmin(t);
  for (const line of [
    "Authorization: Bearer",
    "Authorization: Bearer  ",
    `Authorization: Basic ${TOKEN}`,
    "Authorization: bearer x",
    `X-Token: ${TOKEN}`,
  ])
    assert.match(await raw(admin, head([line])), / 401 /, line);
  assert.match(await raw(admin, head([auth, auth])), / 400 /);
  assert.match(await raw(admin, head([`Cookie: token=${TOKEN}`])), / 401 /);
  assert.match(await raw(admin, head([auth, "Cookie: a=b"])), / 400 /);
  const inQuery = await admin.call("GET", `${LIST}?access_token=${TOKEN}`);
  assert.equal(inQuery.status, 400);
  for (const name of ["access_token", "token", "api_key", "apikey"])
    assert.equal((await admin.call("GET", `${LIST}?${name}=${TOKEN}`, { token: null })).status, 400, name);
  assert.ok(!JSON.stringify(admin.logger.records).includes(TOKEN));
});

test("answers to its own names only, when they are said", async (t) => {
  const admin = await startAdmin(t, { hosts: ["messenger.example.org", "[::1]"] });
  const asked = (host: string): Promise<string> => raw(admin, `GET ${LIST} HTTP/1.1\r\nHost: ${host}\r\n${auth}\r\n\r\n`);
  for (const host of ["messenger.example.org", "Messenger.Example.org:8080", "[::1]:8080"]) assert.match(await asked(host), / 200 /, host);
  for (const host of ["localhost", "evil.example", "messenger.example.org.evil.example", "", "127.0.0.1:8080"])
    assert.match(await asked(host), / 400 /, host);
});

test("asks browsers for TLS when a proxy of one's own says that they came by it", async (t) => {
  const header = "strict-transport-security";
  const [behind, open] = [await startAdmin(t, { trustedProxies: 1 }), await startAdmin(t)];
  const ask = async (admin: Admin, proto: string) =>
    (await admin.call("GET", LIST, { headers: { "x-forwarded-proto": proto } })).headers.get(header);
  assert.deepEqual(
    [await ask(behind, "https"), await ask(behind, "http"), await ask(open, "https")],
    ["max-age=31536000; includeSubDomains", null, null],
  );
});

test("matches paths exactly, whatever they are dressed up as", async (t) => {
  const admin = await startAdmin(t);
  const targets = [
    "/api/symphony/failed/..%2f..%2fdocs",
    "/api/symphony/%2e%2e/status",
    "/api/symphony/..;/status",
    "//api/symphony/status",
  ];
  targets.push(
    "/api\\symphony\\status",
    "/api/./symphony/status",
    "/api/symphony/status.",
    "/API/symphony/status",
    "/api/symphony/status/",
    "/api/symphony/status%00",
  );
  for (const target of targets) assert.match(await raw(admin, head([auth], target)), / 40[04] /, target);
});

test("refuses ids and parameters that are none", async (t) => {
  const admin = await startAdmin(t);
  for (const id of [
    "0",
    "-1",
    "null",
    "undefined",
    "[object Object]",
    "' or 1=1--",
    "x".repeat(4_000),
    "%00",
    "😀",
    "..%2f",
    randomUUID().slice(1),
  ]) {
    const { status } = await admin.call("GET", `${LIST}/${id === "%00" || id === "..%2f" ? id : encodeURIComponent(id)}`);
    assert.ok(status === 400 || status === 404, `${id}: ${status}`);
  }
  for (const limit of ["-1", "0", "201", "1e3", "0x10", "%205", "5.0", "NaN", "Infinity", "9007199254740993", "", "1;drop", "5&limit=6"])
    assert.equal((await admin.call("GET", `${LIST}?limit=${limit}`)).status, 400, limit);
  for (const query of [
    "offset=10001",
    "since=yesterday",
    "since=1999-01-01T00:00:00Z",
    "queue=__pgboss__x",
    "type=a/b",
    "a[__proto__][x]=1",
    "__proto__=1",
    "fingerprint=%25",
    "x=%zz",
    `queue=${"q".repeat(3_000)}`,
  ])
    assert.equal((await admin.call("GET", `${LIST}?${query}`)).status, 400, query);
});

test("reads bodies as strict JSON in UTF-8 and nothing else", async (t) => {
  const admin = await startAdmin(t);
  const post = async (body: string | Buffer, type = "application/json", more: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(admin.url + DISPATCH, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": type, connection: "close", ...more },
      body: typeof body === "string" ? body : new Uint8Array(body),
    });
    await response.arrayBuffer();
    return response.status;
  };
  assert.equal(await post(ping('{"constructor":{"prototype":{"admin":true}},"__proto__":{"admin":true}}')), 201, "data is data");
  for (const type of ["text/plain", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "application/jsonx"])
    assert.equal(await post(ping("1"), type), 415, type);
  assert.equal(await post(ping("1"), "application/vnd.symphony+json; charset=UTF-8"), 201);
  assert.equal(await post(ping("1"), "application/json", { "content-encoding": "gzip" }), 415);
  const bad: readonly string[] = [
    "{",
    `${ping("1")},`,
    `${ping("1")}${ping("2")}`,
    `\uFEFF${ping("1")}`,
    ping("[1,]"),
    ping('{"a":1,"a":2}'),
    ping('"\\ud800"'),
    ping('"\\u0000"'),
    ping("9007199254740993"),
    ping("1e999"),
    '{"message":{"type":"test.ping"}}',
    '{"message":{"type":"test.ping","payload":1},"__proto__":{"admin":true}}',
    '{"message":{"type":"test.ping","payload":1,"metadata":{"__proto__":{"admin":true}}}}',
    '{"message":{"type":"test.ping","payload":1},"options":{"constructor":{"prototype":{}}}}',
    '{"message.payload":{"__proto__":{"admin":true}}}',
    "[".repeat(100_000),
    ping("[".repeat(70) + "]".repeat(70)),
    ping(`{${Array.from({ length: 60_000 }, (_, i) => `"${i}":1`).join(",")}}`),
    "null",
    '"',
    "",
  ];
  for (const body of bad) assert.equal(await post(body), 400, body.slice(0, 80));
  assert.equal(await post(Buffer.from([0x22, 0xff, 0x22])), 400, "not UTF-8");
  assert.equal(({} as Record<string, unknown>).admin, undefined);
});

test("refuses bodies that are too large, or where none is due", async (t) => {
  const admin = await startAdmin(t);
  const filled = (bytes: number): string => `{"messageLimit":1,"transport":"${"x".repeat(bytes)}"}`;
  assert.equal((await admin.call("POST", "/api/symphony/consume", { body: filled(65_536) })).status, 413);
  assert.equal((await admin.call("POST", DISPATCH, { body: ping(`"${"x".repeat(1_048_576)}"`) })).status, 413);
  assert.match(
    await raw(admin, head([auth, "Content-Type: application/json", "Content-Length: 70000"], "/api/symphony/consume", "POST")),
    / 413 /,
  );
  assert.equal((await admin.call("POST", `${LIST}/${randomUUID()}/retry`, { body: { force: true } })).status, 400);
  assert.equal((await admin.call("POST", "/api/cron/symphony-worker", { token: CRON_SECRET, body: { timeLimit: 1 } })).status, 400);
});

test("knows only its own methods, and takes no other name for them", async (t) => {
  const admin = await startAdmin(t);
  for (const method of ["PUT", "PATCH", "OPTIONS", "POST"]) {
    const { status, headers } = await admin.call(method, "/api/symphony/status");
    assert.deepEqual([status, headers.get("allow")], [405, "GET, HEAD"], method);
  }
  const cron = await raw(admin, head([`Authorization: Bearer ${CRON_SECRET}`], "/api/cron/symphony-worker", "HEAD"));
  assert.match(cron, / 405 /, "a HEAD does not consume");
  const id = await admin.fail();
  const { status } = await admin.call("GET", `${LIST}/${id}`, { headers: { "x-http-method-override": "DELETE" } });
  assert.equal(status, 200);
  assert.equal((await admin.call("GET", `${LIST}/${id}?_method=DELETE`)).status, 400);
  assert.equal((await admin.call("GET", `${LIST}/${id}`)).status, 200, "it is still there");
  assert.match(await raw(admin, head([auth], LIST, "TRACE")), / 405 /);
});

test("refuses malformed HTTP, tunnels and upgrades, and closes", async (t) => {
  const admin = await startAdmin(t);
  const post = (lines: readonly string[]): string => head([auth, ...lines], DISPATCH, "POST");
  const rows: readonly (readonly [string, RegExp])[] = [
    [post(["Content-Length: 5", "Transfer-Encoding: chunked"]), / 400 /],
    [post(["Transfer-Encoding: xchunked"]), / 400 /],
    [`GET ${LIST}\r\n\r\n`, / 400 /],
    [head([auth, "Host: other"]), / 400 /],
    [head([auth, "X: a\r\n b"]), / (?:400|200) /],
    [head([auth], `http://evil.example${LIST}`), / 400 /],
    [head([auth], "localhost:80", "CONNECT"), / 405 /],
    [head([auth, "Connection: Upgrade", "Upgrade: h2c"]), / 400 /],
    [head([auth, "Connection: Upgrade", "Upgrade: websocket"]), / 400 /],
    [head([auth, `X: ${"x".repeat(9_000)}`]), / 431 /],
    [head([auth], `/${"x".repeat(9_000)}`), / 431 /],
  ];
  for (const [text, expected] of rows) assert.match(await raw(admin, text), expected, text.slice(0, 120));
});

test("shows nothing of its inside in a 500, and lives on", async (t) => {
  for (const [environment, shown] of [
    [{}, false],
    [{ NODE_ENV: "development" }, true],
  ] as const) {
    const admin = await startAdmin(t, { environment });
    const thrown = Object.assign(new Error("SELECT secret FROM pgboss.job"), { code: "42P01" });
    Object.assign(admin.transport, { getCounts: () => Promise.reject(thrown) });
    const { status, body, text } = await admin.call("GET", "/api/symphony/queues");
    assert.deepEqual([status, body.code, "detail" in body, text.includes("SELECT")], [500, "INTERNAL", shown, shown]);
    Object.assign(admin.transport, { getCounts: () => Promise.reject(Object.create(null)) });
    assert.equal((await admin.call("GET", "/api/symphony/queues")).status, 500);
    assert.equal((await admin.call("GET", "/api/symphony/workers")).status, 200);
    assert.ok(admin.logger.messages("error").includes("request failed"));
  }
});
