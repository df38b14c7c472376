import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { MUTANTS } from "./contract/mutants.test.fixture.ts";

/** Runs the suite over all faulty transports in a process of its own. Fault → names of the tests that found it. */
async function runMutants(t: TestContext): Promise<Map<string, string[]>> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const file = fileURLToPath(new URL("./contract/mutants.test.fixture.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=source", "--test-reporter=tap", file], {
    env: { ...env, SYMPHONY_TEST_MUTANTS: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill());
  const found = new Map<string, string[]>();
  let failed: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    // TAP: a failed test is "not ok 3 - its name", indented under its suite, whose own line comes after.
    const [, indent, not, name] = /^( *)(not )?ok \d+ - (.*?)(?: # .*)?$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (indent !== "") {
      if (not !== undefined) failed.push(name);
      continue;
    }
    found.set(name.replace(/^transport contract: /, ""), failed);
    failed = [];
  }
  return found;
}

test("finds every transport with a fault, by the test that is about it", { timeout: 240_000 }, async (t) => {
  const found = await runMutants(t);
  for (const fault of Object.keys(MUTANTS)) {
    const claim = fault.split(" -> ")[1] as string;
    await t.test(fault, () => {
      const failed = found.get(fault) ?? [];
      assert.ok(
        failed.some((name) => name.includes(claim)),
        `no test "${claim}" failed; failed: ${failed.join("; ") || "none"}`,
      );
    });
  }
});
