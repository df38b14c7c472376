import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { v8Flags } from "./v8-flags.ts";

const ONE = ["--v8-pool-size=1", "--no-parallel-scavenge"];

test("V8 is told of fewer helpers than Node would give it, and one is not waited for to collect", () => {
  assert.deepEqual(v8Flags(1), ONE);
  assert.deepEqual(v8Flags(3), ["--v8-pool-size=3"]);
  assert.deepEqual(v8Flags(4), []);
});

test("a number of helpers that was chosen stays", () => {
  for (const flag of ["--v8-pool-size=2", "--v8_pool_size=0"]) assert.deepEqual(v8Flags(1, ["--conditions=x", flag]), []);
  assert.deepEqual(v8Flags(1, ["--v8-options"]), ONE);
});

test("Node takes the flags", () => {
  const told = execFileSync(process.execPath, [...ONE, "-p", "process.execArgv.slice(0, 2).join()"], { encoding: "utf8" });
  assert.equal(told.trim(), ONE.join());
});
