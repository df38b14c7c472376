import { acquire } from "../index.ts";

// The program behind `startHolder`: holds a claim until its standard input ends.
const [directory = "", lingerMs, keepOpen] = process.argv.slice(2);
const postgres = await acquire({ directory, lingerMs: Number(lingerMs) });
process.stdout.write(`${JSON.stringify({ connectionString: postgres.connectionString, version: postgres.version })}\n`);
if (keepOpen === "true") process.stdin.resume().on("end", () => void postgres.release());
