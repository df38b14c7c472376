import { dismissPlanner, startPlanner } from "./fleet/planner.ts";
import { processIo } from "./io.ts";
import { startTelemetry } from "./telemetry.ts";

/** Milliseconds for what a command left open, such as an idle connection of a handler's library. */
const EXIT_GRACE_MS = 1_000;

const [command, ...flags] = process.argv.slice(2);
if (command === "consume" && !flags.includes("--help") && !flags.includes("-h")) startPlanner();
const io = processIo();
const telemetry = await startTelemetry(process.argv.slice(2), process.env);
// Loaded when there is somebody to look at what its modules do.
const { runCli } = await import("./cli.ts");
process.exitCode = await runCli(process.argv.slice(2), io);
dismissPlanner();
await telemetry.flush();
io.releaseSignals();
// The command is done. What still keeps the process alive gets a moment and no more.
io.clock.schedule(EXIT_GRACE_MS, () => process.exit(), { unref: true });
