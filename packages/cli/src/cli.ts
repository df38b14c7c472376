import yargs from "yargs";
import { type Command, STDIN } from "./command.ts";
import { loadCommands } from "./commands.ts";
import { EXIT, exitCodeOf, UsageError } from "./exit-codes.ts";
import { reportFailure } from "./failure.ts";
import type { ProcessIo } from "./io.ts";

/** Runs one command line; resolves with the exit code, having said what went wrong. */
export async function runCli(argv: readonly string[], io: ProcessIo): Promise<number> {
  const global = { json: argv.includes("--json"), verbose: countVerbose(argv) };
  try {
    // With a callback, help texts come here instead of going to the console.
    await parser(io, await loadCommands(argv)).parseAsync(
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

function parser(io: ProcessIo, commands: readonly Command[]) {
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
  for (const command of commands) program.command(command.module(io));
  return program;
}

// Needed when the command line itself cannot be parsed.
const countVerbose = (argv: readonly string[]): number =>
  argv.reduce((n, word) => n + (/^-v+$/.test(word) ? word.length - 1 : word === "--verbose" ? 1 : 0), 0);
