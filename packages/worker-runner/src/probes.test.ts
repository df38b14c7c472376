import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { silentLogger } from "@symphony/core";
import { assess, type Vitals } from "./liveness.ts";
import { createProbeListener, type ProbeListenerOptions } from "./probes.ts";

const WELL: Vitals = {
  wanted: 1,
  living: 1,
  restarting: 0,
  ready: 1,
  everReady: true,
  stopping: false,
  paused: false,
  crashLoop: 0,
  lastBootError: null,
  leaseAgeMs: 5,
};

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

async function open(options: Partial<ProbeListenerOptions> = {}) {
  const listener = createProbeListener({
    host: "127.0.0.1",
    port: 0,
    checks: (probe) => assess(probe, WELL),
    logger: silentLogger,
    ...options,
  });
  const { port } = await listener.start();
  /** The path goes out as it is: `fetch` would tidy it up. */
  const ask = (path: string, method = "GET", headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"], body }));
      });
      sent.on("error", reject);
      sent.end();
    });
  return { port, ask, listener, [Symbol.asyncDispose]: () => listener.stop() };
}

describe("probe listener", () => {
  test("gives metrics only to those who show the token, where there is one, and probes to all", async () => {
    let asked = 0;
    const metrics = (): string => `asked_total ${++asked}\n`;
    await using probes = await open({ metrics, metricsToken: "a-token-for-prometheus" });
    for (const authorization of ["", "Bearer", "Bearer a-token-for-prometheuS", "Basic a-token-for-prometheus", "a-token-for-prometheus"]) {
      const headers = authorization === "" ? {} : { authorization };
      assert.deepEqual((await probes.ask("/metrics", "GET", headers)).status, 401, authorization);
    }
    assert.equal(asked, 0);
    const { status, body } = await probes.ask("/metrics", "GET", { authorization: "Bearer a-token-for-prometheus" });
    assert.deepEqual([status, body], [200, "asked_total 1\n"]);
    assert.equal((await probes.ask("/livez")).status, 200);
    assert.equal((await probes.ask("/metrics?token=a-token-for-prometheus")).status, 401);
  });

  test("answers 200 while all is well and 503 when a check fails, on a port of its own choice", async () => {
    let vitals = WELL;
    await using probes = await open({ checks: (probe) => assess(probe, vitals) });
    assert.ok(probes.port > 0);
    for (const path of ["/livez", "/readyz", "/startupz"]) assert.deepEqual((await probes.ask(path)).status, 200);
    vitals = { ...WELL, leaseAgeMs: 60_000, ready: 0 };
    assert.equal((await probes.ask("/livez")).status, 200);
    assert.deepEqual(await probes.ask("/readyz"), { status: 503, type: "text/plain; charset=utf-8", body: "failed: receiving, leases\n" });
  });

  test("?verbose names every check", async () => {
    await using probes = await open();
    const { status, body } = await probes.ask("/livez?verbose");
    assert.equal(status, 200);
    const checks = (JSON.parse(body) as { checks: { name: string; ok: boolean }[] }).checks;
    assert.deepEqual(
      checks.map(({ name, ok }) => [name, ok]),
      [
        ["workers", true],
        ["starts", true],
      ],
    );
  });

  test("knows only its very paths and only reading", async () => {
    await using probes = await open();
    for (const path of ["/", "//livez", "/livez/", "/LIVEZ", "/livez/../readyz", "/%6civez", "/metrics", "/constructor"]) {
      assert.equal((await probes.ask(path)).status, 404, path);
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) assert.equal((await probes.ask("/livez", method)).status, 405, method);
    assert.deepEqual(await probes.ask("/livez", "HEAD"), { status: 200, type: "text/plain; charset=utf-8", body: "" });
  });

  test("serves metrics when there are some, and survives their failure", async () => {
    let fail = false;
    const metrics = async (): Promise<string> => {
      if (fail) throw new Error("no");
      return "up 1\n";
    };
    await using probes = await open({ metrics });
    assert.deepEqual(await probes.ask("/metrics"), { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: "up 1\n" });
    fail = true;
    assert.equal((await probes.ask("/metrics")).status, 500);
    assert.equal((await probes.ask("/livez")).status, 200);
  });

  test("stops with connections open, and twice", async () => {
    const probes = await open();
    const socket = connect(probes.port, "127.0.0.1");
    await once(socket, "connect");
    const closed = once(socket, "close");
    await probes.listener.stop();
    await closed;
    await probes.listener.stop();
  });

  test("says that the port is taken", async () => {
    await using probes = await open();
    const second = createProbeListener({
      host: "127.0.0.1",
      port: probes.port,
      checks: (probe) => assess(probe, WELL),
      logger: silentLogger,
    });
    await assert.rejects(second.start(), { code: "EADDRINUSE" });
    await second.stop();
  });
});
