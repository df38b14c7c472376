import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { silentLogger } from "@symphony/core";
import { assess, createProbeListener, type Vitals } from "@symphony/worker-runner";
import { runCli } from "./cli.ts";
import { memoryIo } from "./testing/memory-io.ts";

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

async function listening(t: TestContext, vitals: Vitals): Promise<string> {
  const listener = createProbeListener({ host: "127.0.0.1", port: 0, checks: (probe) => assess(probe, vitals), logger: silentLogger });
  const { port } = await listener.start();
  t.after(() => listener.stop());
  return String(port);
}

describe("symphony health", () => {
  test("exits with 0 when the fleet is well, whatever the configuration says", async (t) => {
    const port = await listening(t, WELL);
    const io = memoryIo({ directory: "/nowhere", environment: { SYMPHONY_HEALTH_PORT: port } });
    assert.equal(await runCli(["health"], io), 0, io.errors());
    assert.equal(await runCli(["health", "--check", "ready", "--json"], io), 0, io.errors());
  });

  test("exits with 1 when the check fails, and names what failed", async (t) => {
    const port = await listening(t, { ...WELL, ready: 0 });
    const io = memoryIo({ directory: "/nowhere" });
    assert.equal(await runCli(["health", "--health-port", port], io), 0);
    assert.equal(await runCli(["health", "--health-port", port, "--check", "ready"], io), 1);
    assert.match(io.output(), /failed: receiving/);
  });

  test("exits with 1 when nobody answers, and with 2 for a check that does not exist", async (t) => {
    const port = await listening(t, WELL);
    const io = memoryIo({ directory: "/nowhere" });
    assert.equal(await runCli(["health", "--health-port", "1"], io), 1);
    assert.match(io.errors(), /nobody answers/);
    assert.equal(await runCli(["health", "--health-port", port, "--check", "lively"], io), 2);
  });
});
