import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KillEvidence } from "./kill-evidence.ts";

const sigkill = { signal: "SIGKILL", silent: false } as const;

describe("KillEvidence", () => {
  test("clears the messages of a process that was killed from outside", () => {
    assert.equal(new KillEvidence(() => 3).pointsAtMessages(sigkill), false);
  });

  test("points at them when the kernel counted one more kill for want of memory, once", () => {
    let kills = 0;
    const evidence = new KillEvidence(() => kills);
    kills = 1;
    assert.equal(evidence.pointsAtMessages(sigkill), true);
    assert.equal(evidence.pointsAtMessages(sigkill), false);
  });

  test("points at those of two processes that the kernel killed before the first end was heard of, and of no third one", () => {
    let kills = 4;
    const evidence = new KillEvidence(() => kills);
    kills = 6;
    assert.equal(evidence.pointsAtMessages(sigkill), true);
    assert.equal(evidence.pointsAtMessages(sigkill), true);
    assert.equal(evidence.pointsAtMessages(sigkill), false);
  });

  test("points at them for every other end, for a silent process, and where the kernel does not count", () => {
    const evidence = new KillEvidence(() => 0);
    assert.equal(evidence.pointsAtMessages({ signal: "SIGABRT", silent: false }), true);
    assert.equal(evidence.pointsAtMessages({ signal: null, silent: false }), true);
    assert.equal(evidence.pointsAtMessages({ signal: "SIGKILL", silent: true }), true);
    assert.equal(new KillEvidence(() => undefined).pointsAtMessages(sigkill), true);
  });
});
