import type { Argv, CommandModule, InferredOptionTypes, Options } from "yargs";
import { readVariable } from "./environment.ts";
import { UsageError } from "./exit-codes.ts";
import type { ProcessIo } from "./io.ts";
import { URL_VARIABLE } from "./remote/admin-client.ts";
import type { GlobalFlags } from "./session.ts";

/** One command of the program: what it accepts, and what it does; its promise is the end of it. */
export interface Command {
  /** It, or one of its commands, can work through an admin API. */
  readonly isRemote: boolean;
  readonly module: (io: ProcessIo) => CommandModule;
}

/**
 * Declares a command. `run` throws what fails; `exitCodeOf` makes the exit code of it.
 *
 * @param o.examples - Command line and what it does; shown by `--help`.
 */
export function defineCommand<const O extends Readonly<Record<string, Options>>>(o: {
  readonly usage: string;
  readonly describe: string;
  readonly aliases?: readonly string[];
  readonly options?: O;
  readonly positionals?: (yargs: Argv) => Argv;
  readonly examples?: readonly (readonly [string, string])[];
  /** Can also work through an admin API, with `--url`. */
  readonly remote?: true;
  readonly run: (io: ProcessIo, flags: InferredOptionTypes<O> & GlobalFlags & Readonly<Record<string, unknown>>) => Promise<void>;
}): Command {
  const isRemote = o.remote === true;
  return {
    isRemote,
    module: (io) => ({
      command: o.usage,
      describe: o.describe,
      ...(o.aliases === undefined ? {} : { aliases: o.aliases }),
      builder: (yargs: Argv) => {
        const options = helpOf(isRemote, yargs).options(o.options ?? {});
        const withPositionals = o.positionals === undefined ? options : o.positionals(options);
        return withPositionals.example((o.examples ?? []).map(([line, what]) => [line, what] as [string, string]));
      },
      handler: (argv) => o.run(io, { ...argv, url: addressOf(o, argv.url, io) } as never),
    }),
  };
}

/** `--help` must not offer what is refused. */
const helpOf = (isRemote: boolean, yargs: Argv): Argv => (isRemote ? yargs : yargs.hide("url"));

/** @throws {UsageError} `--url` was given to a command that needs the database. */
function addressOf(o: { readonly usage: string; readonly remote?: true }, flag: unknown, io: ProcessIo): string | undefined {
  if (o.remote === true) return typeof flag === "string" ? flag : readVariable(io.environment, URL_VARIABLE)?.value;
  if (flag !== undefined) throw new UsageError(`${o.usage.split(" ", 1)[0]} needs the database: it takes no --url`);
  return undefined;
}

/** A command that only has subcommands. */
export function defineGroup(o: { readonly usage: string; readonly describe: string; readonly commands: readonly Command[] }): Command {
  const isRemote = o.commands.some((command) => command.isRemote);
  return {
    isRemote,
    module: (io) => ({
      command: o.usage,
      describe: o.describe,
      builder: (yargs: Argv) => {
        for (const command of o.commands) yargs.command(command.module(io));
        return helpOf(isRemote, yargs).demandCommand(1, 1, `${o.usage.split(" ", 1)[0]} needs one of its commands; see --help`);
      },
      handler: () => undefined,
    }),
  };
}

/** A flag with a value: kept as text, parsed by `settings.ts` or the command, so that every range error reads alike. */
export const text = (describe: string, more: Options = {}) => ({ ...more, type: "string", requiresArg: true, describe }) as const;

/** A flag that may be repeated. */
export const texts = (describe: string) => ({ type: "string", array: true, requiresArg: true, nargs: 1, describe }) as const;

export const toggle = (describe: string) => ({ type: "boolean", default: false, describe }) as const;

/** Stands for `-` while the command line is parsed: as a positional, yargs takes a lone dash for an empty text. */
export const STDIN = "@-";
