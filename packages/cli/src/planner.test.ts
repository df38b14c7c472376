import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { dismissPlanner, startPlanner, takePlanner } from "./fleet/planner.ts";
import { childrenOf, isAlive } from "./testing/fleet-project.ts";

const planners = (): readonly number[] => childrenOf(process.pid).filter(isAlive);

test("the process that was started early is the one that is taken, once", async () => {
  startPlanner();
  startPlanner();
  const [early, ...more] = planners();
  assert.deepEqual(more, []);
  const [first, second] = [takePlanner(), takePlanner()];
  assert.equal(first.pid, early);
  assert.notEqual(second.pid, early);
  for (const child of [first, second]) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test("one that ended before it was wanted is replaced, and one that nobody wants is ended", async () => {
  startPlanner();
  const [early = 0] = planners();
  process.kill(early, "SIGKILL");
  await waitFor(() => !isAlive(early), { what: "its end" });
  const child = takePlanner();
  assert.notEqual(child.pid, early);
  child.kill("SIGKILL");
  await once(child, "exit");
  startPlanner();
  dismissPlanner();
  await waitFor(() => planners().length === 0, { what: "nobody left" });
});
