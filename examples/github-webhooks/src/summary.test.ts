import assert from "node:assert/strict";
import { test } from "node:test";
import { type RunReport, renderSummary } from "./summary.ts";
import { COLOURS, PLAIN } from "./terminal.ts";

const row = { dispatched: 10, handled: 9, deadLettered: 1, afterRedrive: 2 };
const report = (holds: boolean): RunReport => ({
  accounts: {
    types: [{ type: "github.delivery", ...row }],
    total: { type: "total", ...row },
    checks: [{ claim: "handled + dead-lettered = dispatched", left: 10, right: holds ? 10 : 11, holds }],
    addUp: holds,
  },
  elapsedMs: 12_345,
  repositories: 3,
  latencyMs: [5, 9, 12],
  failures: [["server error", 7]],
  deadLetters: [["unrecoverable: the signature does not match the body", 1]],
  kills: 0,
  repeatedDeliveries: 0,
});

test("says that every message is accounted for when all checks hold, and which does not otherwise", () => {
  assert.match(
    renderSummary(report(true), PLAIN),
    /✓ handled \+ dead-lettered = dispatched \(10\)\n\n {2}Every message is accounted for\./,
  );
  assert.match(renderSummary(report(false), PLAIN), /✗ handled \+ dead-lettered = dispatched: 10 ≠ 11\n\n {2}The numbers do not add up\./);
});

test("has a row for each type of message and one for the total", () => {
  const text = renderSummary(report(true), PLAIN);
  assert.match(text, /github\.delivery +10 +9 +2 +1/);
  assert.match(text, /total +10 +9 +2 +1/);
});

test("uses colours only when it is given some", () => {
  assert.ok(!renderSummary(report(true), PLAIN).includes("\u001b"));
  assert.ok(renderSummary(report(true), COLOURS).includes("\u001b"));
});
