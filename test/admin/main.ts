import { openAdminBed } from "./admin-bed.ts";
import { fuzz } from "./fuzz.ts";

/** `npm run fuzz:admin [-- REQUESTS [SEED]]` */
const [requests = "10000", seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
const bed = await openAdminBed();
try {
  const startedAt = performance.now();
  const report = await fuzz(bed, Number(requests), Number(seed));
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  process.stdout.write(`${JSON.stringify({ ...report, seconds }, null, 2)}\nevery answer was one that the document promises\n`);
} finally {
  await bed.stop();
}
