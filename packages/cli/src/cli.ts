import yargs from "yargs";
import type { Command } from "./command.ts";
import { defineGroup } from "./command.ts";
import { admin } from "./commands/admin.ts";
import { audit } from "./commands/audit.ts";
import { autoscale } from "./commands/autoscale.ts";
import { cancel } from "./commands/cancel.ts";
import { consume } from "./commands/consume.ts";
import { debugOverview } from "./commands/debug.ts";
import { debugConfig } from "./commands/debug-config.ts";
import { dev } from "./commands/dev.ts";
import { dispatch, STDIN } from "./commands/dispatch.ts";
import { doctor } from "./commands/doctor.ts";
import { failed } from "./commands/failed.ts";
import { health } from "./commands/health.ts";
import { message } from "./commands/message.ts";
import { queue } from "./commands/queue.ts";
import { roundTrip } from "./commands/round-trip.ts";
import { scale } from "./commands/scale.ts";
import { schedule } from "./commands/schedule.ts";
import { setup } from "./commands/setup.ts";
import { slo } from "./commands/slo.ts";
import { status } from "./commands/status.ts";
import { stopWorkers } from "./commands/stop-workers.ts";
import { token } from "./commands/token.ts";
import { workers } from "./commands/workers.ts";
import { EXIT, exitCodeOf, UsageError } from "./exit-codes.ts";
import { reportFailure } from "./failure.ts";
import type { ProcessIo } from "./io.ts";

const debug = defineGroup({ usage: "debug", describe: "What the configuration adds up to", commands: [debugOverview, debugConfig] });

const COMMANDS: readonly Command[] = [
  consume,
  dispatch,
  status,
  failed,
  queue,
  schedule,
  message,
  cancel,
  setup,
  stopWorkers,
  workers,
  debug,
  slo,
  doctor,
  admin,
  health,
  roundTrip,
  scale,
  autoscale,
  token,
  audit,
  dev,
];

/** Runs one command line; resolves with the exit code, having said what went wrong. */
export async function runCli(argv: readonly string[], io: ProcessIo): Promise<number> {
  const global = { json: argv.includes("--json"), verbose: countVerbose(argv) };
  try {
    // With a callback, help texts come here instead of going to the console.
    await parser(io).parseAsync(
      argv.map((word) => (word === "-" ? STDIN : word)),
      {},
      (_error: unknown, _parsed: unknown, output: string) => {
        if (output !== "") io.out(`${output}\n`);
      },
    );
    return EXIT.ok;
  } catch (error) {
    reportFailure(io, error, global);
    return exitCodeOf(error);
  }
}

function parser(io: ProcessIo) {
  const program = yargs()
    .scriptName("symphony")
    .usage("$0 <command>")
    .parserConfiguration({ "camel-case-expansion": false, "duplicate-arguments-array": true, "greedy-arrays": false })
    .option("config", {
      type: "string",
      requiresArg: true,
      global: true,
      describe: "Configuration file; default: symphony.config.ts|js|mjs upwards from here",
    })
    .option("url", {
      type: "string",
      requiresArg: true,
      global: true,
      describe: "Work through this admin API instead of the database, with SYMPHONY_AUTH_TOKEN",
    })
    .option("json", { type: "boolean", global: true, describe: "Print JSON" })
    .option("verbose", { alias: "v", type: "count", global: true, describe: "Say more; twice: everything, with stacks" })
    .demandCommand(1, "which command? See symphony --help")
    .strict()
    .strictCommands()
    .recommendCommands()
    .help()
    .alias("help", "h")
    .version(false)
    .wrap(Math.min(120, process.stdout.columns ?? 100))
    .locale("en")
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  for (const command of COMMANDS) program.command(command.module(io));
  return program;
}

// Needed when the command line itself cannot be parsed.
const countVerbose = (argv: readonly string[]): number =>
  argv.reduce((n, word) => n + (/^-v+$/.test(word) ? word.length - 1 : word === "--verbose" ? 1 : 0), 0);
