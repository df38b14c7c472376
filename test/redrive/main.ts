import { parseArgs } from "node:util";
import { TestBed } from "../support/test-bed.ts";
import { objections, redriveTrial } from "./trial.ts";

/**
 * Redrives one of three bugs' dead letters with real processes on a real PostgreSQL, and judges what was promised.
 *
 *   npm run redrive -- [--letters 50000] [--rate 1000]
 */
const { values } = parseArgs({ options: { letters: { type: "string", default: "50000" }, rate: { type: "string", default: "1000" } } });
const options = { letters: Number(values.letters), rate: Number(values.rate) };

const bed = await TestBed.open({ audit: false });
const figures = await redriveTrial(bed, options);
const found = objections(figures, options);
await bed.close({ keep: found.length > 0 });
const { groupsMs, groups, rates, doneWhenKilled, redrive, handled, left } = figures;
process.stdout.write(
  `${JSON.stringify({ ...options, groupsMs, groups, rates: rates.map((rate) => Math.round(rate * 10) / 10), doneWhenKilled, done: redrive.done, handled: handled.size, left }, null, 2)}\n`,
);
for (const each of found) process.stdout.write(`NOT AS PROMISED: ${each}\n`);
process.exitCode = found.length === 0 ? 0 : 1;
