import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@symphony/core";
import { ManualClock } from "@symphony/core/testing";
import type { PodEvent } from "@symphony/kubernetes";
import { CommandFailed, EXIT } from "./exit-codes.ts";
import { FleetEvents, openFleetEvents } from "./fleet/fleet-events.ts";
import { project } from "./testing/project.ts";
import { run } from "./testing/symphony.ts";

function recorded() {
  const events: PodEvent[] = [];
  const flushed: number[] = [];
  const clock = new ManualClock();
  const sink = { say: (event: PodEvent) => void events.push(event), flush: async (withinMs: number) => void flushed.push(withinMs) };
  const environment = { DATABASE_URL: "postgresql://u:hunter2@db/x" };
  return { events, flushed, clock, fleet: new FleetEvents({ sink, clock, environment }) };
}

test("tells of a crash loop, with its cause and without secrets, and not of single deaths or of a fleet that stops", async () => {
  const { events, clock, fleet } = recorded();
  const state = { crashLoop: 2, lastBootError: "no way to postgresql://u:hunter2@db/x", stopping: false };
  fleet.watch(() => state);
  await clock.advance(10_000);
  assert.deepEqual(events, []);
  state.crashLoop = 3;
  await clock.advance(5_000);
  const note = "3 starts of a worker process in a row came to nothing: no way to postgresql://u:***@db/x";
  assert.deepEqual(events, [{ reason: "CrashLoop", type: "Warning", note }]);
  state.stopping = true;
  await clock.advance(5_000);
  await fleet.close();
  state.stopping = false;
  await clock.advance(60_000);
  assert.equal(events.length, 1);
});

test("tells of a fleet that drained, and of a schema of another version; other failures are told by the exit code", async () => {
  const { events, flushed, fleet } = recorded();
  fleet.drained({ reason: "signal", processed: 12, failed: 1 });
  fleet.failed(new CommandFailed("the tables are of version 31", EXIT.schema));
  fleet.failed(new CommandFailed("away", EXIT.temporary));
  await fleet.close();
  assert.deepEqual(
    events.map(({ reason, type, note }) => [reason, type, note]),
    [
      ["Drained", "Normal", "the fleet has stopped (signal): 12 attempts since its start, 1 of them failed"],
      ["SchemaMismatch", "Warning", "the tables are of version 31"],
    ],
  );
  assert.deepEqual(flushed, [500]);
});

test("outside of a pod it warns, and the fleet does what it would have done", async (t) => {
  const said: string[] = [];
  const logger = { warn: (fields: object, text: string) => said.push(`${text} ${JSON.stringify(fields)}`) };
  assert.equal(await openFleetEvents({}, systemClock, logger as never), undefined);
  assert.match(said[0] ?? "", /POD_NAME and POD_UID/);
  const directory = project(t, { "symphony.config.ts": "export default {};" });
  const environment = { SYMPHONY_KUBERNETES_EVENTS: "true", POD_NAME: "p", POD_UID: "u", KUBERNETES_SERVICE_HOST: undefined };
  const done = await run(t, ["consume", "--json"], { directory, environment });
  assert.equal(done.code, EXIT.config, done.err);
  assert.match(done.out, /no Kubernetes Events can be written/);
});
