import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { after, before, test } from "node:test";
import { pause, waitFor } from "@symphony/core/testing";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** Answers every line with itself. */
const echo = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
let echoed = 0;
echo.on("connection", (socket) => socket.on("data", (chunk: Buffer) => (echoed += chunk.length)));
let proxy: TcpProxy;

before(async () => {
  await once(echo.listen(0, "127.0.0.1"), "listening");
  const address = echo.address();
  assert.ok(typeof address === "object" && address !== null);
  proxy = await startTcpProxy({ host: "127.0.0.1", port: address.port });
});
after(async () => {
  await proxy.close();
  echo.close();
});

async function open(): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

async function answer(socket: Socket, text: string): Promise<string> {
  const data = once(socket, "data");
  socket.write(text);
  const [chunk] = (await data) as [Buffer];
  return chunk.toString();
}

/** `once` would reject with the reset that is expected here. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** Whether the socket says anything within 200 ms. */
async function isSilent(socket: Socket, text: string): Promise<boolean> {
  const waiting = new AbortController();
  const silent = pause(200).then(() => true);
  const spoke = once(socket, "data", { signal: waiting.signal }).then(
    () => false,
    () => true,
  );
  socket.write(text);
  const result = await Promise.race([silent, spoke]);
  waiting.abort();
  return result;
}

test("passes data on, and the end of a connection", async () => {
  const socket = await open();
  assert.equal(await answer(socket, "hello"), "hello");
  socket.end();
  await closed(socket);
  await waitFor(() => proxy.connections === 0);
});

test("delays every chunk, and keeps the order under jitter", async () => {
  proxy.delay(60, 50);
  const socket = await open();
  const startedAt = performance.now();
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  for (let i = 0; i < 10; i++) socket.write(`${i}`);
  while (text.length < 10) await once(socket, "data");
  assert.equal(text, "0123456789");
  assert.ok(performance.now() - startedAt >= 20, "two ways of at least 10 ms each");
  proxy.heal();
  socket.destroy();
});

test("leaves old connections half-open while new ones are healthy", async () => {
  const old = await open();
  assert.equal(await answer(old, "one"), "one");
  proxy.blackHole();
  assert.equal(await isSilent(old, "two"), true);
  const fresh = await open();
  assert.equal(await answer(fresh, "three"), "three");
  assert.equal(old.destroyed, false, "nobody told the client");
  old.destroy();
  fresh.destroy();
});

test("lets the server notice after a time, where it was told to, that a client behind a hole has gone", async () => {
  const [leaving, staying] = [await open(), await open()];
  for (const socket of [leaving, staying]) assert.equal(await answer(socket, "one"), "one");
  proxy.blackHole({ noticedAfterMs: 100 });
  const before = proxy.connections;
  leaving.destroy();
  await waitFor(() => proxy.connections === before - 1, { what: "one connection less" });
  assert.equal(staying.destroyed, false, "who is still there is not noticed");
  staying.destroy();
  await waitFor(() => proxy.connections === before - 2, { what: "two connections less" });
});

test("swallows one direction only: the server hears, the client does not", async () => {
  const socket = await open();
  proxy.blackHole({ directions: ["toClient"] });
  const before = echoed;
  assert.equal(await isSilent(socket, "12345"), true);
  assert.equal(echoed - before, 5);
  socket.destroy();
});

test("makes a hole for later connections until it is healed", async () => {
  proxy.blackHole({ later: true });
  const lost = await open();
  assert.equal(await isSilent(lost, "x"), true);
  proxy.heal();
  const fresh = await open();
  assert.equal(await answer(fresh, "y"), "y");
  lost.destroy();
  fresh.destroy();
});

test("drops the reply to a request with the marker, also when two chunks share it, and resets", async () => {
  const socket = await open();
  proxy.dropReplies({ marker: "COMMIT" });
  assert.equal(await answer(socket, "BEGIN COM"), "BEGIN COM");
  const before = echoed;
  const reset = closed(socket);
  assert.equal(await isSilent(socket, "MIT"), true);
  await reset;
  assert.equal(echoed - before, 3, "the server has got the request");
  assert.ok(proxy.dropped >= 1);
  const fresh = await open();
  assert.equal(await answer(fresh, "COMMIT"), "COMMIT", "once means once");
  fresh.destroy();
});

test("resets what is open, and refuses new connections while told so", async () => {
  const socket = await open();
  const reset = closed(socket);
  proxy.cut();
  await reset;
  proxy.refuse(true);
  const refused = connect({ port: proxy.port, host: "127.0.0.1" });
  refused.on("error", () => undefined);
  await closed(refused);
  proxy.heal();
  const fresh = await open();
  assert.equal(await answer(fresh, "z"), "z");
  fresh.destroy();
});
