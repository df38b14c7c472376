import assert from "node:assert/strict";
import { test } from "node:test";
import { ArgumentError, parseArguments } from "./arguments.ts";

test("has a default for everything", () => {
  assert.deepEqual(parseArguments([]), {
    once: false,
    kills: 0,
    rate: 150,
    port: 0,
    withoutWorker: false,
    subscriberPort: 0,
    verbose: false,
    help: false,
  });
});

test("kills once when no number is given, and as often as one says", () => {
  assert.equal(parseArguments(["--kill-worker"]).kills, 1);
  assert.equal(parseArguments(["--kill-worker", "--once"]).kills, 1);
  assert.equal(parseArguments(["--kill-worker", "3", "--once"]).kills, 3);
  assert.equal(parseArguments(["--kill-worker=2"]).kills, 2);
});

test("refuses unknown options, numbers out of range and anything left over", () => {
  for (const argv of [["--onec"], ["--rate", "0"], ["--rate", "fast"], ["--port", "70000"], ["--kill-worker", "11"], ["extra"]]) {
    assert.throws(() => parseArguments(argv), ArgumentError, argv.join(" "));
  }
});
