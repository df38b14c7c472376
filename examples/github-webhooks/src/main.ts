import { inspect } from "node:util";
import { ArgumentError, type Arguments, parseArguments, USAGE } from "./arguments.ts";
import { runExample } from "./run.ts";
import { paletteFor } from "./terminal.ts";

const BAD_USAGE = 2;
const FAILED = 1;
const INTERRUPTED = 130;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed: Arguments;
  try {
    parsed = parseArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return BAD_USAGE;
  }
  if (parsed.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const stop = stopOnSignal();
  try {
    return await runExample({ arguments: parsed, output: process.stdout, palette: paletteFor(process.stdout), signal: stop });
  } catch (error) {
    process.stderr.write(`${inspect(error)}\n`);
    return FAILED;
  }
}

/** The first Ctrl-C ends in order; the second at once: workers and database notice by themselves that we are gone. */
function stopOnSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // `npm start | head`: nobody reads on.
    if (error.code !== "EPIPE") throw error;
    controller.abort();
  });
  return controller.signal;
}
