import { runCli } from "./cli.ts";
import { processIo } from "./io.ts";

/** Milliseconds for what a command left open, such as an idle connection of a handler's library. */
const EXIT_GRACE_MS = 1_000;

const io = processIo();
process.exitCode = await runCli(process.argv.slice(2), io);
io.releaseSignals();
// The command is done. What still keeps the process alive gets a moment and no more.
io.clock.schedule(EXIT_GRACE_MS, () => process.exit(), { unref: true });
