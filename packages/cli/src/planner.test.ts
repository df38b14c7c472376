import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { waitFor } from "@symphony/core/testing";
import { dismissPlanner, startPlanner, takePlanner } from "./fleet/planner.ts";
import { childrenOf, isAlive } from "./testing/fleet-project.ts";

const planners = (): readonly number[] => childrenOf(process.pid).filter(isAlive);

test("the process that was started early is the one that is taken, once", async () => {
  const early = startPlanner();
  assert.equal(startPlanner(), early);
  assert.deepEqual(planners(), [early.pid]);
  const [first, second] = [takePlanner(), takePlanner()];
  assert.equal(first, early);
  assert.notEqual(second, early);
  for (const child of [first, second]) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test("one that ended before it was wanted is replaced, and one that nobody wants is ended", async () => {
  const early = startPlanner();
  early.kill("SIGKILL");
  // Until it is known: a process that is gone may still look connected.
  await once(early, "exit");
  const child = takePlanner();
  assert.notEqual(child, early);
  child.kill("SIGKILL");
  await once(child, "exit");
  startPlanner();
  dismissPlanner();
  await waitFor(() => planners().length === 0, { what: "nobody left" });
});
