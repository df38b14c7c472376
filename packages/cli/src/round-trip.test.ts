import assert from "node:assert/strict";
import { test } from "node:test";
import { workerProject } from "./testing/worker-project.ts";

test("round-trip exits with 0 when a fleet has handled its message, with 1 when it gave up on it or nobody came", async (t) => {
  const { run, start, json, handled } = await workerProject(t);
  assert.equal((await run(["setup"])).code, 0);
  const alone = await run(["round-trip", "inline", "--timeout", "1"]);
  assert.equal(alone.code, 1);
  assert.match(alone.out, / waiting after 1s/);

  const fleet = start(["consume", "--processes", "1", "--health-port", "0"]);
  const trip = await json<{ success: boolean; state: string; tookMs: number }>(["round-trip", "greet", '{"name":"Ada"}']);
  assert.equal(trip.success, true);
  assert.equal(trip.state, "handled");
  assert.ok(handled().includes("greet Ada"));
  const given = await run(["round-trip", "final"]);
  assert.equal(given.code, 1);
  assert.match(given.err, /dead-lettered/);
  assert.equal((await run(["round-trip", "grete"])).code, 1);
  fleet.child.kill("SIGTERM");
  assert.equal((await fleet.ended).code, 0);
});
