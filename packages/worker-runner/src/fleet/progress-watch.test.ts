import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ProgressWatch, type Watched } from "./progress-watch.ts";

interface Puppet extends Watched {
  free: number;
  polledAt: number | undefined;
}

const puppet = (): Puppet => ({
  free: 3,
  polledAt: undefined,
  freeSlots() {
    return this.free;
  },
  lastPollOf() {
    return this.polledAt;
  },
});

const POLL_MS = 1_000;
const PATIENT_POLLS = 20;

function waitingFor(watch: ProgressWatch, polls: number, each: (poll: number) => void = () => undefined): readonly Watched[] {
  const stuck: Watched[] = [];
  for (let poll = 1; poll <= polls; poll++) {
    each(poll);
    stuck.push(...watch.waiting("default"));
  }
  return stuck;
}

describe("the progress watch", () => {
  test("tells of a process that was woken and has asked for nothing since, once", () => {
    const [watch, child] = [new ProgressWatch(POLL_MS), puppet()];
    child.polledAt = 50;
    watch.woken(child, "default", 100);
    assert.deepEqual(waitingFor(watch, PATIENT_POLLS - 1), []);
    assert.equal(watch.isSlow(child, "default"), true);
    assert.deepEqual(waitingFor(watch, PATIENT_POLLS), [child]);
  });

  test("says nothing of one that was never woken, asks, or has no room", () => {
    const [watch, idle, busy, full] = [new ProgressWatch(POLL_MS), puppet(), puppet(), puppet()];
    watch.woken(busy, "default", 100);
    watch.woken(full, "default", 100);
    full.free = 0;
    const stuck = waitingFor(watch, 100, (poll) => {
      busy.polledAt = 100 + poll * POLL_MS;
      watch.woken(busy, "default", 100 + poll * POLL_MS);
    });
    assert.deepEqual(stuck, []);
    assert.equal(watch.isSlow(idle, "default"), false);
  });

  test("blames nobody for the time in which nothing was waiting, or the database was away", () => {
    const [watch, child] = [new ProgressWatch(POLL_MS), puppet()];
    const stuck: Watched[] = [];
    for (let outage = 0; outage < 5; outage++) {
      watch.woken(child, "default", 100);
      stuck.push(...waitingFor(watch, PATIENT_POLLS - 1));
      watch.reset("default");
    }
    assert.deepEqual(stuck, []);
  });

  test("keeps transports apart, and waits for some polls however long they are", () => {
    const [watch, child] = [new ProgressWatch(60_000), puppet()];
    watch.woken(child, "other", 100);
    assert.deepEqual(waitingFor(watch, 50), []);
    watch.woken(child, "default", 100);
    assert.deepEqual(waitingFor(watch, 4), []);
    assert.deepEqual(waitingFor(watch, 1), [child]);
  });
});
