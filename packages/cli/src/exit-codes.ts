/** What the process answers with; the numbers are promises (see docs/cli.md), those from 64 as in sysexits.h. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  config: 64,
  internal: 70,
  temporary: 75,
  schema: 78,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line itself is wrong: an unknown flag, a value out of range, a question that cannot be asked. */
export class UsageError extends Error {
  readonly code = "USAGE";

  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "UsageError";
  }
}

/** The command did what it could, and said what failed; only the exit code is left to report. */
export class CommandFailed extends Error {
  readonly code: string;
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed, code = "COMMAND_FAILED") {
    super(message);
    this.name = "CommandFailed";
    this.exitCode = exitCode;
    this.code = code;
  }
}

const BY_CODE: Readonly<Record<string, ExitCode>> = {
  USAGE: EXIT.usage,
  DISPATCH_OPTIONS_INVALID: EXIT.usage,
  OPTIONS_INVALID: EXIT.config,
  CONFIG_INVALID: EXIT.config,
  ROUTE_NOT_FOUND: EXIT.config,
  TRANSPORT_NOT_FOUND: EXIT.config,
  SCHEMA_VERSION_MISMATCH: EXIT.schema,
  TRANSPORT_UNAVAILABLE: EXIT.temporary,
  EMBEDDED_POSTGRES_FAILED: EXIT.temporary,
  KUBERNETES_FAILED: EXIT.failed,
  SCALING_REFUSED: EXIT.failed,
  MESSAGE_TYPE_UNKNOWN: EXIT.failed,
  PAYLOAD_INVALID: EXIT.failed,
  PAYLOAD_NOT_JSON: EXIT.failed,
  PAYLOAD_TOO_LARGE: EXIT.failed,
  PAYLOAD_TOO_DEEP: EXIT.failed,
  TRANSPORT_FAILED: EXIT.failed,
  QUEUE_NOT_FOUND: EXIT.failed,
  CAPABILITY_MISSING: EXIT.failed,
  IDEMPOTENCY_CONFLICT: EXIT.failed,
  DEAD_LETTER_NOT_FOUND: EXIT.failed,
  REDRIVE_NOT_FOUND: EXIT.failed,
  SCHEDULE_NOT_FOUND: EXIT.failed,
  SCHEDULE_FAILED: EXIT.failed,
  AUDIT_FAILED: EXIT.failed,
  AUDIT_NOT_FOUND: EXIT.failed,
  UNDO_IMPOSSIBLE: EXIT.failed,
  COUNT_MISMATCH: EXIT.failed,
  MESSAGE_NOT_FOUND: EXIT.failed,
  ISSUER_UNAVAILABLE: EXIT.temporary,
};

/** The code of an error, whichever copy of the library it came from. */
export function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** The only place where an error becomes an exit code. What nobody has thought of is internal. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandFailed) return error.exitCode;
  return BY_CODE[codeOf(error) ?? ""] ?? EXIT.internal;
}
