import { CommandFailed, codeOf, EXIT, exitCodeOf, UsageError } from "./exit-codes.ts";
import type { ProcessIo } from "./io.ts";
import { redact, secretsOf } from "./mask.ts";
import { plain } from "./output.ts";

/** Says on standard error what went wrong: one line, JSON with `--json`; the stack only with `-vv`. And leaves it to the container. */
export function reportFailure(io: ProcessIo, error: unknown, global: { json: boolean; verbose: number }): void {
  const secrets = secretsOf(io.environment.DATABASE_URL ?? "");
  const message = plain(redact(messageOf(error), secrets));
  io.lastWords(`${codeOf(error) ?? "INTERNAL"}: ${message}\n`);
  if (global.json) {
    const { details } = error as { details?: unknown };
    const shown = { code: codeOf(error) ?? "INTERNAL", message, ...(details === undefined ? {} : { details }) };
    io.err(`${redact(JSON.stringify({ success: false, error: shown }), secrets)}\n`);
  } else {
    io.err(`symphony: ${message}\n`);
    if (error instanceof UsageError) io.err("See symphony --help, and --help behind a command.\n");
  }
  const wanted = global.verbose > 1 || (exitCodeOf(error) === EXIT.internal && global.verbose > 0);
  if (wanted && codeOf(error) !== "COMMAND_FAILED") io.err(`${plain(redact(stackOf(error), secrets))}\n`);
}

/** What is wrong, in one sentence, with its cause. */
export function messageOf(error: unknown): string {
  if (error instanceof CommandFailed) return error.message;
  if (!(error instanceof Error)) return String(error);
  const known = codeOf(error) !== undefined && exitCodeOf(error) !== EXIT.internal;
  return known ? withCause(error) : `internal error: ${error.message} (-vv shows where)`;
}

// "cannot be reached" alone helps nobody: why is in the cause.
function withCause(error: Error): string {
  const cause = error.cause instanceof Error ? causeText(error.cause) : "";
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}

// A connection that was tried at several addresses fails with an AggregateError whose own message is empty.
function causeText(cause: Error): string {
  const [first] = cause instanceof AggregateError ? cause.errors : [];
  return cause.message !== "" || !(first instanceof Error) ? cause.message : first.message;
}

export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by ${stackOf(error.cause)}`;
}
