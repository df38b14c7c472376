import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Decision, type DecisionInput, decide, MAX_CRASHES } from "./decide.ts";
import { toErrorRecord } from "./error-record.ts";
import type { Outcome } from "./execute.ts";
import { fingerprint } from "./fingerprint.ts";
import { multiplierRetry } from "./retry/multiplier.ts";
import { NO_TRIES } from "./stamps.ts";

const ERROR = { name: "TypeError", message: "x is not a function", stack: "TypeError: x\n    at f (a.ts:1:2)", code: "E" };
const NOW = Date.UTC(2026, 4, 5, 6, 7, 8, 9);

const input = (more: Partial<DecisionInput> = {}): DecisionInput => ({
  type: "t",
  tries: NO_TRIES,
  history: [],
  handled: [],
  suspect: 0,
  strategy: multiplierRetry({ jitter: 0 }),
  queue: "q",
  workerId: "w",
  now: NOW,
  random: () => 0.5,
  ...more,
});

const counter = fc.integer({ min: 0, max: 50 });
const anyTries = fc.record({ failures: counter, crashes: counter, interruptions: counter });
const oddNumber = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300));
const names = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 3 });
const anyError = fc.record({ name: fc.string(), message: fc.string(), stack: fc.string() });

const anyOutcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ kind: fc.constant("handled" as const), settled: fc.boolean() }),
  fc.record({
    kind: fc.constant("failed" as const),
    failure: fc.record(
      { error: anyError, unrecoverable: fc.boolean(), recoverable: fc.boolean(), retryDelayMs: oddNumber },
      { requiredKeys: ["error"] },
    ),
    handled: names,
  }) as fc.Arbitrary<Outcome>,
  fc.record({ kind: fc.constant("timedOut" as const), timeoutMs: counter, handled: names }),
  fc.record({ kind: fc.constant("snoozed" as const), delayMs: oddNumber }),
  fc.record({ kind: fc.constant("crashed" as const), error: anyError, guilty: fc.boolean() }),
  fc.record({
    kind: fc.constant("interrupted" as const),
    reason: fc.constantFrom("shutdown" as const, "lease_lost" as const, "neighbour" as const),
  }),
  fc.record({ kind: fc.constantFrom("undecodable" as const, "noHandler" as const, "tooNew" as const), error: anyError }),
);

const anyStrategy = fc
  .record({ retryable: fc.boolean(), delayMs: oddNumber, throws: fc.constantFrom("", "isRetryable", "getDelayMs") })
  .map(({ retryable, delayMs, throws }) => ({
    maxRetries: 3,
    isRetryable: () => (throws === "isRetryable" ? assert.fail("a broken strategy") : retryable),
    getDelayMs: () => (throws === "getDelayMs" ? assert.fail("a broken strategy") : delayMs),
  }));

const patched = (decision: Decision) => ("patch" in decision ? decision.patch : {});

describe("a decision", () => {
  test("is one of four for every outcome, and can be carried out, whatever strategies and handlers say", () => {
    fc.assert(
      fc.property(anyOutcome, anyTries, anyStrategy, (outcome, tries, strategy) => {
        const decision = decide(outcome, input({ tries, strategy }));
        assert.ok(["acknowledge", "retry", "deadLetter", "release"].includes(decision.kind));
        if (decision.kind === "retry" || decision.kind === "release") {
          assert.ok(Number.isFinite(decision.delayMs) && decision.delayMs >= 0, `a delay of ${decision.delayMs}`);
          assert.ok(!Number.isNaN(new Date(NOW + decision.delayMs).getTime()), "a time that exists");
        }
        if (decision.kind === "deadLetter") assert.match(decision.failure.fingerprint, /^[0-9a-f]{16}$/);
      }),
      { numRuns: 500 },
    );
  });

  test("counts failures for failures and timeouts only", () => {
    fc.assert(
      fc.property(anyOutcome, anyTries, (outcome, tries) => {
        const after = patched(decide(outcome, input({ tries }))).tries ?? tries;
        const raised = outcome.kind === "failed" || outcome.kind === "timedOut" ? 1 : 0;
        assert.equal(after.failures, tries.failures + raised);
        const crashed = outcome.kind === "crashed" && outcome.guilty ? 1 : 0;
        assert.equal(after.crashes, tries.crashes + crashed);
        const interrupted = outcome.kind === "interrupted" || (outcome.kind === "crashed" && !outcome.guilty) ? 1 : 0;
        assert.equal(after.interruptions, tries.interruptions + interrupted);
      }),
    );
  });

  test("gives up by failures alone: crashes and interruptions use up no retries", () => {
    fc.assert(
      fc.property(
        counter,
        counter,
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 0, max: 10 }),
        (crashes, interruptions, failures, maxRetries) => {
          const outcome: Outcome = { kind: "failed", failure: { error: ERROR } };
          const decision = decide(
            outcome,
            input({ tries: { failures, crashes, interruptions }, strategy: multiplierRetry({ maxRetries }) }),
          );
          assert.equal(decision.kind, failures + 1 <= maxRetries ? "retry" : "deadLetter");
        },
      ),
    );
  });

  test("keeps the newest ten attempts, without their stacks", () => {
    let past = input();
    for (let n = 1; n <= 15; n++) {
      const decision = decide({ kind: "failed", failure: { error: { ...ERROR, message: `no ${n}` }, recoverable: true } }, past);
      const { tries, history } = patched(decision);
      assert.ok(tries !== undefined && history !== undefined);
      past = input({ tries, history });
    }
    assert.deepEqual(
      past.history.map((entry) => entry.attempt),
      [6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    );
    const { stack: _, ...short } = ERROR;
    assert.deepEqual(past.history.at(-1), {
      attempt: 15,
      at: new Date(NOW).toISOString(),
      workerId: "w",
      error: { ...short, message: "no 15" },
    });
  });

  test("keeps a history of less than 16 KiB, however much the errors say", () => {
    const character = fc.constantFrom("x", '"', "\n", "ü", "👍", "\0");
    fc.assert(
      fc.property(character, fc.integer({ min: 0, max: 20_000 }), (text, length) => {
        const error = toErrorRecord(
          Object.assign(new Error(text.repeat(length)), { name: text.repeat(length), code: text.repeat(length) }),
        );
        let past = input();
        for (let n = 1; n <= 11; n++) {
          const { tries, history } = patched(decide({ kind: "failed", failure: { error, recoverable: true } }, past));
          past = input({ tries: tries ?? NO_TRIES, history: history ?? [] });
        }
        assert.equal(past.history.length, 10);
        assert.ok(Buffer.byteLength(JSON.stringify(past.history)) < 16_384);
      }),
      { numRuns: 30 },
    );
  });

  test("changes nothing that it was given", () => {
    fc.assert(
      fc.property(anyOutcome, anyTries, (outcome, tries) => {
        const given = input({ tries, history: [], handled: ["a"] });
        const before = JSON.stringify([outcome, given]);
        decide(outcome, given);
        assert.equal(JSON.stringify([outcome, given]), before);
      }),
    );
  });
});

describe("what becomes of a message", () => {
  test("handled: acknowledged, unless the handler's transaction has done so", () => {
    assert.deepEqual(decide({ kind: "handled" }, input()), { kind: "acknowledge", alreadySettled: false });
    assert.deepEqual(decide({ kind: "handled", settled: true }, input()), { kind: "acknowledge", alreadySettled: true });
  });

  test("failed: retried by the strategy, then dead-lettered with all about the failure", () => {
    const outcome: Outcome = { kind: "failed", failure: { error: ERROR } };
    const first = decide(outcome, input());
    assert.equal(first.kind === "retry" && first.delayMs, 1000);
    const last = decide(outcome, input({ tries: { failures: 3, crashes: 1, interruptions: 2 } }));
    assert.ok(last.kind === "deadLetter");
    const failure = { reason: "retries_exhausted", error: ERROR, fingerprint: fingerprint("t", ERROR), attempts: 5, workerId: "w" };
    assert.deepEqual(last.failure, failure);
    assert.deepEqual(last.patch.tries, { failures: 4, crashes: 1, interruptions: 2 });
  });

  test("unrecoverable: dead-lettered at once", () => {
    const decision = decide({ kind: "failed", failure: { error: ERROR, unrecoverable: true } }, input());
    assert.equal(decision.kind === "deadLetter" && decision.failure.reason, "unrecoverable");
  });

  test("recoverable: retried however often, after the error's own delay when it names one", () => {
    const tries = { failures: 1000, crashes: 0, interruptions: 0 };
    const decision = decide({ kind: "failed", failure: { error: ERROR, recoverable: true, retryDelayMs: 1234 } }, input({ tries }));
    assert.deepEqual([decision.kind, "delayMs" in decision && decision.delayMs], ["retry", 1234]);
  });

  test("a delay that is none falls back to the strategy's", () => {
    for (const retryDelayMs of [Number.NaN, -1, "soon" as unknown as number]) {
      const decision = decide({ kind: "failed", failure: { error: ERROR, retryDelayMs } }, input());
      assert.equal(decision.kind === "retry" && decision.delayMs, 1000, String(retryDelayMs));
    }
  });

  test("a strategy that throws falls back to the default one", () => {
    const strategy = { maxRetries: 9, isRetryable: () => assert.fail("broken"), getDelayMs: () => assert.fail("broken") };
    const outcome: Outcome = { kind: "failed", failure: { error: ERROR } };
    assert.equal(decide(outcome, input({ strategy })).kind, "retry");
    assert.equal(decide(outcome, input({ strategy, tries: { ...NO_TRIES, failures: 3 } })).kind, "deadLetter");
  });

  test("timed out: a failure with a reason of its own", () => {
    const outcome: Outcome = { kind: "timedOut", timeoutMs: 50 };
    assert.equal(decide(outcome, input()).kind, "retry");
    const last = decide(outcome, input({ tries: { ...NO_TRIES, failures: 3 } }));
    assert.ok(last.kind === "deadLetter");
    assert.deepEqual([last.failure.reason, last.failure.error.code], ["timed_out", "HANDLER_TIMED_OUT"]);
  });

  test("handlers that succeeded are remembered beside the one that failed", () => {
    const decision = decide({ kind: "failed", failure: { error: ERROR }, handled: ["b", "a"] }, input({ handled: ["a"] }));
    assert.deepEqual(patched(decision).handled, ["a", "b"]);
  });

  test("crashed: retried when guilty until the limit; released uncounted, and suspected, when nobody knows", () => {
    const crashed = (crashes: number, guilty: boolean) =>
      decide({ kind: "crashed", error: ERROR, guilty }, input({ tries: { ...NO_TRIES, crashes } }));
    assert.equal(crashed(MAX_CRASHES - 2, true).kind, "retry");
    const last = crashed(MAX_CRASHES - 1, true);
    assert.equal(last.kind === "deadLetter" && last.failure.reason, "crashed");
    assert.deepEqual(crashed(MAX_CRASHES - 1, false), {
      kind: "release",
      delayMs: 0,
      patch: { tries: { failures: 0, crashes: MAX_CRASHES - 1, interruptions: 1 }, suspect: 1 },
    });
  });

  test("suspected and proven guilty: the crashes it was suspected of are its own as well", () => {
    const proven = (suspect: number) => decide({ kind: "crashed", error: ERROR, guilty: true }, input({ suspect }));
    assert.deepEqual(patched(proven(1)).tries, { failures: 0, crashes: 2, interruptions: 0 });
    assert.equal(patched(proven(1)).suspect, 0);
    assert.equal(proven(MAX_CRASHES - 1).kind, "deadLetter");
  });

  test("suspected and come to an end of its own: no suspect any more; cut short: still one, or more of one", () => {
    const after = (outcome: Outcome) => patched(decide(outcome, input({ suspect: 2 }))).suspect;
    assert.equal(after({ kind: "failed", failure: { error: ERROR } }), 0);
    assert.equal(after({ kind: "timedOut", timeoutMs: 1 }), 0);
    assert.equal(after({ kind: "snoozed", delayMs: 1 }), 0);
    assert.equal(after({ kind: "interrupted", reason: "shutdown" }), undefined, "what a patch does not name stays");
    assert.equal(after({ kind: "crashed", error: ERROR, guilty: false }), 3);
  });

  test("snoozed: back after its delay, nothing counted", () => {
    assert.deepEqual(decide({ kind: "snoozed", delayMs: 77 }, input()), { kind: "release", delayMs: 77, patch: {} });
  });

  test("too new: left for newer workers after a rest, nothing counted", () => {
    const decision = decide({ kind: "tooNew", error: ERROR }, input());
    assert.ok(decision.kind === "release" && decision.delayMs > 0);
    assert.deepEqual(decision.patch, {});
  });

  test("undecodable and without a handler: dead-lettered on first sight, unchanged", () => {
    for (const [kind, reason] of [
      ["undecodable", "undecodable"],
      ["noHandler", "no_handler"],
    ] as const) {
      const decision = decide({ kind, error: ERROR }, input());
      assert.ok(decision.kind === "deadLetter");
      assert.deepEqual([decision.failure.reason, decision.failure.attempts, decision.patch], [reason, 0, {}]);
    }
  });
});
