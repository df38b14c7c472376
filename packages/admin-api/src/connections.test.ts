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
