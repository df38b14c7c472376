import assert from "node:assert/strict";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { project } from "./testing/project.ts";
import { start } from "./testing/symphony.ts";

const CONFIG = `import { defineConfig, defineHandler, defineMessage } from "@symphony/core";
export default defineConfig({
  transports: { default: { dsn: "memory:" } },
  handlers: [defineHandler(defineMessage("over.grpc"), () => undefined, { name: "over", execution: "inline" })],
});
`;
const SERVICES = "/opentelemetry.proto.collector";

/** What a gRPC collector sees, without gRPC's own library: the path of each call, and its body. */
async function grpcReceiver(t: TestContext): Promise<{ url: string; calls: Map<string, string> }> {
  const calls = new Map<string, string>();
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => void sessions.add(session));
  server.on("stream", (stream, headers) => {
    const path = String(headers[":path"]);
    stream.on("error", () => undefined);
    // Latin 1 keeps every byte, and names are ASCII.
    stream.setEncoding("latin1").on("data", (text: string) => calls.set(path, (calls.get(path) ?? "") + text));
    stream.once("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      // An empty message: not compressed, of length 0.
      stream.end(Buffer.alloc(5));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

test("traces and metrics go out over gRPC when OTEL_EXPORTER_OTLP_PROTOCOL asks for it", async (t) => {
  const { url, calls } = await grpcReceiver(t);
  const directory = project(t, { "symphony.config.ts": CONFIG });
  const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", SYMPHONY_HEALTH_PORT: "0" };
  const admin = start(t, ["admin", "--port", "0", "--json"], {
    directory,
    environment: { ...environment, SYMPHONY_AUTH_TOKEN: "test-token-0123456789-abcdefghijklmnop" },
  });
  const [, address = ""] = await admin.saying(/(http:\/\/127\.0\.0\.1:\d+)/);
  const response = await fetch(`${address}/api/symphony/dispatch`, {
    method: "POST",
    headers: { authorization: "Bearer test-token-0123456789-abcdefghijklmnop", "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ message: { type: "over.grpc", payload: {} } }),
  });
  assert.equal(response.status, 201, await response.text());
  admin.child.kill("SIGTERM");
  assert.equal((await admin.ended).code, 0, admin.text());
  assert.match(calls.get(`${SERVICES}.trace.v1.TraceService/Export`) ?? "", /send default/);
  assert.match(calls.get(`${SERVICES}.metrics.v1.MetricsService/Export`) ?? "", /messaging\.client\.sent\.messages/);
  assert.doesNotMatch(admin.text(), /telemetry cannot be delivered/);
});
