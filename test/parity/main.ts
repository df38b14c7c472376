import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { brokenProofs, parityReport, REPORT, ROOT } from "./report.ts";

/** Writes docs/parity.md. */
const broken = brokenProofs();
if (broken.length > 0) {
  process.stderr.write(`These tests do not exist:\n${broken.map((proof) => `  ${proof}\n`).join("")}`);
  process.exitCode = 1;
} else writeFileSync(join(ROOT, REPORT), parityReport());
