import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { startAdmin, TOKEN } from "./testing/admin.ts";

/** More than are let in. */
const MANY = 1_100;

async function openMany(url: string, first: string): Promise<Socket[]> {
  const { hostname, port } = new URL(url);
  const sockets: Socket[] = [];
  for (let n = 0; n < MANY; n += 1) {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => undefined).resume();
    sockets.push(socket);
    await once(socket, "connect");
    socket.write(first);
  }
  return sockets;
}

for (const [what, first] of [
  ["say nothing", ""],
  ["never finish their headers", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "],
  ["never finish their body", "POST /api/symphony/dispatch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"],
] as const)
  test(`answers others while ${MANY} clients ${what}`, async (t) => {
    const admin = await startAdmin(t);
    const sockets = await openMany(admin.url, first);
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let n = 0; n < 5; n += 1) assert.equal((await admin.call("GET", "/api/symphony/status")).status, 200);
    const lines = admin.logger.messages("warn").filter((line) => line.includes("crowded"));
    assert.equal(lines.length, 1, "and says so, once a minute at most");
  });

test("takes nobody's place in the server for a body that does not come", async (t) => {
  const admin = await startAdmin(t, { limits: { concurrency: 1, waiting: 1, requestsPerMinute: 1_000, failuresPerMinute: 1_000 } });
  const { hostname, port } = new URL(admin.url);
  const head = ["Host: localhost", `Authorization: Bearer ${TOKEN}`, "Content-Type: application/json", "Content-Length: 1000"];
  const sockets = Array.from({ length: 8 }, () => {
    const socket = connect(Number(port), hostname);
    socket.write(`POST /api/symphony/dispatch HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n{`);
    return socket;
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  assert.equal((await admin.call("GET", "/api/symphony/status")).status, 200);
});

/** Everything that comes back until the connection ends. */
async function sendAll(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    received += chunk;
  });
  // What it has sent in vain may end the connection.
  socket.on("error", () => undefined);
  socket.write(text);
  await new Promise((resolve) => socket.once("close", resolve));
  return received;
}

for (const [what, token, expected] of [
  ["with a token", TOKEN, "200"],
  ["without a valid token", "w".repeat(43), "401"],
] as const)
  test(`answers a few of 40,000 requests that come ${what} on one connection without waiting, and serves others meanwhile`, async (t) => {
    const admin = await startAdmin(t);
    const request = `GET /api/symphony/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const flood = sendAll(admin.url, request.repeat(40_000));
    const others = await Promise.all(Array.from({ length: 20 }, () => admin.call("GET", "/api/symphony/queues")));
    const statuses = [...(await flood).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    // What was sent in vain resets the connection: some of the answers may be lost with it.
    assert.deepEqual(statuses, [...Array.from({ length: 8 }, () => expected), "503"].slice(0, statuses.length));
    const handled = admin.logger.records.filter(({ message }) => message === "request").length;
    assert.ok(handled <= 8 + others.length, `${handled} requests were handled`);
    assert.ok(others.every(({ status }) => status === 200));
    assert.ok(admin.logger.messages("warn").some((line) => line.includes("do not wait for answers")));
  });

test("answers a few requests that are sent ahead on one connection, in order", async (t) => {
  const admin = await startAdmin(t);
  const request = (path: string, last = ""): string =>
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n${last}\r\n`;
  const paths = ["status", "nothing", "queues", "workers", "nothing", "failed"].map((path) => `/api/symphony/${path}`);
  const text = paths.map((path) => request(path)).join("") + request("/api/symphony/scaling", "Connection: close\r\n");
  const statuses = [...(await sendAll(admin.url, text)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  assert.deepEqual(statuses, ["200", "404", "200", "200", "404", "200", "200"]);
});
