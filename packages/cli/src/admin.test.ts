import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";
import { project } from "./testing/project.ts";
import { start } from "./testing/symphony.ts";

const CONFIG = `import { defineMessage } from "@symphony/core";
export default { messages: [defineMessage("greet")], transports: { default: { dsn: "memory:" } }, auth: { publicDocs: true } };`;
const TOKEN = "test-token-0123456789-abcdefghijklmnop";

async function run(t: TestContext, line: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const io = memoryIo({ directory: project(t, { "symphony.config.ts": CONFIG }), environment });
  return { code: await runCli(line, io), out: io.output(), err: io.errors() };
}

test("admin without credentials exits 64 and says what to set", async (t) => {
  const { code, out, err } = await run(t, ["admin", "--port", "0"]);
  assert.deepEqual([code, out], [64, ""]);
  assert.match(err, /set SYMPHONY_AUTH_TOKEN to a random token of at least 32 characters/);
});

test("admin refuses a weak token with exit 64, without repeating it", async (t) => {
  const { code, err } = await run(t, ["admin", "--port", "0"], { SYMPHONY_AUTH_TOKEN: "hunter2hunter2" });
  assert.equal(code, 64);
  assert.match(err, /SYMPHONY_AUTH_TOKEN must have at least 32 characters/);
  assert.doesNotMatch(err, /hunter2/);
});

test("token create makes a token that a server with its entry lets in", async (t) => {
  const { code, out } = await run(t, ["token", "create", "grafana", "--scopes", "read,symphony:purge", "--expires", "90d", "--json"]);
  assert.equal(code, 0);
  const { token, entry } = JSON.parse(out);
  assert.match(token, /^sym_[\w-]{43}$/);
  assert.deepEqual([entry.name, entry.scopes], ["grafana", ["symphony:read", "symphony:purge"]]);
  assert.ok(!JSON.stringify(entry).includes(token));
  const directory = project(t, { "symphony.config.ts": CONFIG, "tokens.json": JSON.stringify({ tokens: [entry] }) });
  const server = start(t, ["admin", "--port", "0", "--json"], { directory, environment: { SYMPHONY_AUTH_TOKENS_FILE: "tokens.json" } });
  const [, url = ""] = await server.saying(/(http:\/\/127\.0\.0\.1:\d+)/);
  const get = async (path: string, sent: string | null): Promise<number> =>
    (await fetch(url + path, { headers: { connection: "close", ...(sent === null ? {} : { authorization: `Bearer ${sent}` }) } })).status;
  assert.deepEqual([await get("/api/symphony/status", token), await get("/api/symphony/status", TOKEN)], [200, 401]);
  assert.equal(await get("/docs", null), 200, "auth.publicDocs of the configuration");
  server.child.kill("SIGTERM");
  const { code: ended, err } = await server.ended;
  assert.deepEqual([ended, err], [0, ""]);
  assert.ok(!server.text().includes(token));
});

test("token create limits a token to queues and networks", async (t) => {
  const flags = ["--queues", "mails,images.*", "--from", "10.1.0.0/16", "--from", "fd00::/8", "--json"];
  const { code, out } = await run(t, ["token", "create", "x", "--scopes", "read", ...flags]);
  assert.equal(code, 0);
  const { entry } = JSON.parse(out);
  assert.deepEqual(
    [entry.queues, entry.from],
    [
      ["mails", "images.*"],
      ["10.1.0.0/16", "fd00::/8"],
    ],
  );
});

test("admin has probes and metrics on a port of their own, without a token", async (t) => {
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const server = start(t, ["admin", "--port", "0", "--health-port", "0", "--json"], {
    directory,
    environment: { SYMPHONY_AUTH_TOKEN: TOKEN },
  });
  const [, port = ""] = await server.saying(/"health_port":(\d+)/);
  const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  assert.deepEqual([await get("/livez"), await get("/readyz"), await get("/startupz")], ["ok\n", "ok\n", "ok\n"]);
  const [, url = ""] = await server.saying(/(http:\/\/127\.0\.0\.1:\d+)/);
  const dispatched = await fetch(`${url}/api/symphony/dispatch`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ message: { type: "greet", payload: {} } }),
  });
  assert.equal(dispatched.status, 201, await dispatched.text());
  const metrics = await get("/metrics");
  assert.match(metrics, /^messaging_client_sent_messages_total\{messaging_destination_name="default"\} 1$/m);
  assert.match(metrics, /^symphony_queue_ready\{messaging_destination_name="default"\} 1$/m);
  server.child.kill("SIGTERM");
  assert.equal((await server.ended).code, 0);
});

test("token create refuses unknown scopes, times gone by and bad names with exit 2", async (t) => {
  for (const [line, message] of [
    [["x", "--scopes", "reed"], /no scope "reed"/],
    [["x", "--scopes", "read", "--expires", "2020-01-01T00:00:00Z"], /--expires must be a time to come/],
    [["x", "--scopes", "read", "--expires", "soon"], /--expires/],
    [["../x", "--scopes", "read"], /the name must match/],
    [["x", "--scopes", "read", "--queues", "a/b"], /queues\[0\]: must be the name of a queue/],
    [["x", "--scopes", "read", "--from", "10.1"], /from\[0\]: must be a network/],
    [["x"], /scopes/],
  ] as const) {
    const { code, out, err } = await run(t, ["token", "create", ...line]);
    assert.deepEqual([code, out], [2, ""], err);
    assert.match(err, message);
  }
});
