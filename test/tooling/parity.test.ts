import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { brokenProofs, parityReport, REPORT, ROOT } from "../parity/report.ts";

it("docs/parity.md names only tests that exist", () => {
  assert.deepEqual(brokenProofs(), []);
});

it("docs/parity.md is what `npm run parity` makes", () => {
  assert.equal(readFileSync(join(ROOT, REPORT), "utf8"), parityReport());
});
