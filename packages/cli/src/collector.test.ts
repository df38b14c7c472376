import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { fleetProject } from "./testing/fleet-project.ts";

/** Milliseconds by which an unwell collector may delay the end of a fleet, beside the half second of an idle one. */
const LONGER_MS = 2_000;

async function listen(t: TestContext, handle: RequestListener): Promise<string> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function works(t: TestContext, endpoint: string, protocol = "http/protobuf"): Promise<void> {
  const { start, send, lines, queues } = await fleetProject(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_METRIC_EXPORT_INTERVAL: "500",
  });
  await send("brief", 300);
  const fleet = start(["consume", "--processes", "1", "--health-port", "0"]);
  await waitFor(() => lines().length >= 300, { what: "300 messages handled", timeoutMs: 30_000 });
  await waitFor(async () => (await queues()).default?.active === 0, { what: "all settled" });
  const began = performance.now();
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0, fleet.text());
  const took = performance.now() - began;
  t.diagnostic(`stopped after ${Math.round(took)} ms`);
  assert.ok(took < 1_000 + LONGER_MS, `${took} ms`);
  assert.equal(lines().length, 300);
}

async function nobody(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test("a fleet whose collector nobody runs handles everything and stops in time", async (t) => {
  await works(t, await nobody());
});

test("a fleet whose collector nobody runs handles everything and stops in time, over gRPC as well", async (t) => {
  await works(t, await nobody(), "grpc");
});

test("a fleet whose collector accepts connections and says no word of gRPC handles everything and stops in time", async (t) => {
  const silent = createTcpServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const sockets = new Set<Socket>();
  silent.on("connection", (socket) => void sockets.add(socket.on("error", () => undefined)));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  await works(t, `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, "grpc");
});

test("a fleet whose collector never answers handles everything and stops in time", async (t) => {
  await works(t, await listen(t, (request) => void request.resume()));
});

test("a fleet whose collector refuses everything handles everything and stops in time", async (t) => {
  await works(t, await listen(t, (request, response) => void request.resume().once("end", () => response.writeHead(503).end())));
});
