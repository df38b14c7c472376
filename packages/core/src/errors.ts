/**
 * Every error that the library throws, in one place. Callers and tests match `code`, never the text; a code, once
 * released, keeps its meaning. `docs/errors.md` lists the same codes, and a test compares the two.
 */
export const ERROR_CODES = {
  OPTIONS_INVALID: "an option has a wrong name, type or value",
  CONFIG_INVALID: "the configuration contradicts itself or names something that does not exist",
  MESSAGE_TYPE_UNKNOWN: "no message type of this name is registered",
  PAYLOAD_INVALID: "the payload does not match the schema of its message type",
  PAYLOAD_NOT_JSON: "the payload holds a value that JSON cannot carry",
  PAYLOAD_TOO_LARGE: "the payload is over the size limit",
  PAYLOAD_TOO_DEEP: "the payload is nested deeper than the limit",
  DISPATCH_OPTIONS_INVALID: "a dispatch option is out of range",
  ROUTE_NOT_FOUND: "no route names a transport for this message type",
  TRANSPORT_NOT_FOUND: "no transport of this name is configured",
  TRANSPORT_UNAVAILABLE: "the store behind the transport cannot be reached",
  TRANSPORT_FAILED: "the store behind the transport refused the operation",
  QUEUE_NOT_FOUND: "the queue was never set up",
  SCHEMA_VERSION_MISMATCH: "the database schema is of another version than this code",
  CAPABILITY_MISSING: "the transport cannot do this",
  RECORD_UNDECODABLE: "a stored record is not a message that this version can read",
  RECORD_TOO_NEW: "a stored message is of a newer version than this worker knows",
  MESSAGE_EXPIRED: "the message was not started in time",
  HANDLER_NOT_FOUND: "no handler is registered for this message type",
  HANDLER_AMBIGUOUS: "a query has more than one handler",
  BATCH_OUTCOME_MISSING: "a batch handler said nothing about one of its messages",
  HANDLER_FAILED: "one or more handlers of a message threw",
  RESULT_INVALID: "what the handler of a query returned does not match its schema",
  HANDLER_TIMED_OUT: "a handler ran longer than its limit",
  RESET_FAILED: "a service could not be reset between two messages",
  HANDLER_CRASHED: "the thread or process died while it ran a handler",
  UNRECOVERABLE: "the handler declared the failure final",
  RECOVERABLE: "the handler asked for another attempt",
  STOP_WORKER: "the handler asked its worker to stop",
  LEASE_LOST: "the right to settle the message has passed on",
  MESSAGE_CANCELLED: "somebody cancelled the message while it was handled",
  MESSAGE_NOT_FOUND: "no message has this id, or nothing is left of it",
  INTERRUPTED: "the attempt was cut short by a shutdown",
  IDEMPOTENCY_CONFLICT: "the idempotency key is in use for another message",
  DEAD_LETTER_NOT_FOUND: "no dead letter has this id",
  REDRIVE_NOT_FOUND: "no redrive has this id",
  SCHEDULE_NOT_FOUND: "no schedule has this name",
  SCHEDULE_FAILED: "a schedule could not dispatch its message",
  KUBERNETES_FAILED: "kubectl, or the API server of Kubernetes, refused or did not answer",
  SCALING_REFUSED: "something else owns the number of replicas, or it is out of bounds",
  AUDIT_FAILED: "the record of an action could not be written, so that it was not carried out",
  AUDIT_NOT_FOUND: "no record of an action has this id",
  UNDO_IMPOSSIBLE: "nothing that this action removed is in the trash any more",
  ISSUER_UNAVAILABLE: "the keys to check a token with cannot be fetched from its issuer",
  COUNT_MISMATCH: "another number of messages is waiting than was expected",
  MIDDLEWARE_MISUSED: "a middleware called next() twice",
  MESSENGER_CLOSED: "the messenger was closed",
  WORKER_MISUSED: "the worker was started twice",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  readonly [key: string]: unknown;
}

/** Base of every error of this library. `details` is plain data, safe to log: never a payload. */
export class MessengerError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** An option that was passed in is wrong; `path` names it (`transports.default.dsn`). */
export class OptionsError extends MessengerError {
  readonly path: string;

  constructor(path: string, value: unknown, expectation: string) {
    super("OPTIONS_INVALID", `${path} ${expectation}, got ${describe(value)}`, { details: { path } });
    this.path = path;
  }

  /** For a key that no schema knows. */
  static unknown(path: string, hint: string): OptionsError {
    const error = new OptionsError(path, undefined, "");
    error.message = `${path} is not an option; ${hint}`;
    return error;
  }
}

/** The parts of the configuration do not fit together; the message says which and what to change. */
export class ConfigError extends MessengerError {
  constructor(message: string, details: ErrorDetails = {}, cause?: unknown) {
    super("CONFIG_INVALID", message, { details, cause });
  }
}

export interface ValidationIssue {
  /** Where in the payload, `a.b[0]`; empty for the payload itself. */
  readonly path: string;
  readonly message: string;
}

/** The payload does not match its schema. Nothing was sent. */
export class ValidationError extends MessengerError {
  readonly issues: readonly ValidationIssue[];

  constructor(type: string, issues: readonly ValidationIssue[]) {
    const listed = issues.map((issue) => `${issue.path === "" ? "payload" : issue.path}: ${issue.message}`).join("; ");
    super("PAYLOAD_INVALID", `payload of "${type}" is invalid: ${listed}`, { details: { type, issues } });
    this.issues = issues;
  }
}

/** The store refused or could not be reached. `TRANSPORT_UNAVAILABLE` is worth another try, the others are not. */
export class TransportError extends MessengerError {
  constructor(
    code: "TRANSPORT_UNAVAILABLE" | "TRANSPORT_FAILED" | "QUEUE_NOT_FOUND" | "SCHEMA_VERSION_MISMATCH" | "CAPABILITY_MISSING",
    message: string,
    options: { cause?: unknown; details?: ErrorDetails } = {},
  ) {
    super(code, message, options);
  }
}

/** A record that was read back is no message, or one that this version does not know. */
export class DecodeError extends MessengerError {
  constructor(code: "RECORD_UNDECODABLE" | "RECORD_TOO_NEW", message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(code, message, options);
  }
}

/**
 * Thrown by a handler: do not try again, dead-letter the message now.
 *
 * An error of one's own has the same effect when it has the property `unrecoverable: true`.
 */
export class UnrecoverableError extends MessengerError {
  readonly unrecoverable = true;

  constructor(message = "the message cannot be handled", options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super("UNRECOVERABLE", message, options);
  }
}

/**
 * Thrown by a handler: always try again, however many attempts there were.
 *
 * An error of one's own has the same effect when it has the property `recoverable: true`.
 *
 * @param options.retryDelayMs - Milliseconds until the next attempt; without it the retry strategy decides.
 */
export class RecoverableError extends MessengerError {
  readonly recoverable = true;
  readonly retryDelayMs: number | undefined;

  constructor(
    messageOrOptions: string | { message?: string; retryDelayMs?: number; cause?: unknown } = {},
    options: { retryDelayMs?: number; cause?: unknown; details?: ErrorDetails } = {},
  ) {
    const given = typeof messageOrOptions === "string" ? { message: messageOrOptions, ...options } : { ...options, ...messageOrOptions };
    super("RECOVERABLE", given.message ?? "the message has to be tried again", given);
    this.retryDelayMs = given.retryDelayMs;
  }
}

/**
 * Thrown by a handler: this worker cannot go on. It stops when what is in flight has ended; in a fleet, a new process
 * takes its place. The message itself has failed, and is retried as after any other error.
 *
 * An error of one's own has the same effect when it has the property `stopsWorker: true`.
 */
export class StopWorkerError extends MessengerError {
  readonly stopsWorker = true;

  constructor(message = "the worker cannot go on", options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super("STOP_WORKER", message, options);
  }
}

/** The right to settle has passed on: another worker has the message. The late result was not recorded. */
export class LeaseLostError extends MessengerError {
  constructor(messageId: string, cause?: unknown) {
    super("LEASE_LOST", `the lease on ${messageId} was lost`, { cause, details: { messageId } });
  }
}

/** Reason of a handler's signal: somebody cancelled its message. Whatever the handler does now is not recorded. */
export class MessageCancelledError extends MessengerError {
  constructor(messageId: string) {
    super("MESSAGE_CANCELLED", `the message ${messageId} was cancelled`, { details: { messageId } });
  }
}

/** A purge was confirmed for another number of messages than there are. Nothing was removed. */
export class CountMismatchError extends MessengerError {
  constructor(queue: string, expected: number, count: number) {
    super("COUNT_MISMATCH", `${count} messages wait in queue "${queue}", not ${expected}: nothing was removed`, {
      details: { queue, expected, count },
    });
  }
}

export class HandlerTimeoutError extends MessengerError {
  constructor(timeoutMs: number) {
    super("HANDLER_TIMED_OUT", `the handler ran longer than ${timeoutMs} ms`, { details: { timeoutMs } });
  }
}

function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
