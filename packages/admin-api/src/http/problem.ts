import { ERROR_CODES, type ErrorCode, MessengerError, OptionsError, ValidationError, type ValidationIssue } from "@symphony/core";

/** Codes of answers that no error of the library stands behind. */
export type HttpCode =
  | "VALIDATION_FAILED"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "CONFLICT"
  | "BODY_TOO_LARGE"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "RATE_LIMITED"
  | "OVERLOADED"
  | "INTERNAL";

/** Seconds. A database that restarts is back in about that. */
const RETRY_AFTER_S = 5;

/** The status of every error that a request can run into; what is missing here is 500. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  OPTIONS_INVALID: 400,
  DISPATCH_OPTIONS_INVALID: 400,
  PAYLOAD_INVALID: 400,
  PAYLOAD_NOT_JSON: 400,
  PAYLOAD_TOO_DEEP: 400,
  PAYLOAD_TOO_LARGE: 413,
  TRANSPORT_NOT_FOUND: 404,
  QUEUE_NOT_FOUND: 404,
  DEAD_LETTER_NOT_FOUND: 404,
  REDRIVE_NOT_FOUND: 404,
  MESSAGE_NOT_FOUND: 404,
  AUDIT_NOT_FOUND: 404,
  SCHEDULE_NOT_FOUND: 404,
  IDEMPOTENCY_CONFLICT: 409,
  COUNT_MISMATCH: 409,
  UNDO_IMPOSSIBLE: 409,
  MESSAGE_TYPE_UNKNOWN: 422,
  ROUTE_NOT_FOUND: 422,
  CAPABILITY_MISSING: 422,
  HANDLER_NOT_FOUND: 422,
  TRANSPORT_UNAVAILABLE: 503,
  ISSUER_UNAVAILABLE: 503,
  AUDIT_FAILED: 503,
  MESSENGER_CLOSED: 503,
  SCHEMA_VERSION_MISMATCH: 503,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "The request is not valid",
  401: "A valid token is needed",
  403: "The token does not allow this",
  404: "Not found",
  405: "The method is not allowed here",
  409: "The request conflicts with what is there",
  413: "The request is too large",
  415: "The content type is not supported",
  422: "The request cannot be carried out",
  429: "Too many requests",
  500: "Internal error",
  503: "Temporarily unavailable",
};

/** A refusal, as the client gets it. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly code: HttpCode | ErrorCode;
  readonly issues: readonly ValidationIssue[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: HttpCode | ErrorCode,
    detail: string,
    options: { issues?: readonly ValidationIssue[]; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "HttpProblem";
    this.status = status;
    this.code = code;
    this.issues = options.issues;
    this.headers = options.headers ?? {};
  }
}

export const invalid = (issues: readonly ValidationIssue[], detail?: string): HttpProblem =>
  new HttpProblem(400, "VALIDATION_FAILED", detail ?? issues.map((issue) => `${issue.path}: ${issue.message}`).join("; "), { issues });

/** Whatever was thrown, as a refusal. Below 500 the message is for the client; above, it may name hosts and statements and is not. */
export function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  const status = error instanceof MessengerError ? (STATUS_OF[error.code] ?? 500) : 500;
  if (!(error instanceof MessengerError) || status === 500) return new HttpProblem(500, "INTERNAL", messageOf(error), { cause: error });
  if (status === 503) {
    return new HttpProblem(503, error.code, ERROR_CODES[error.code], { headers: { "retry-after": String(RETRY_AFTER_S) }, cause: error });
  }
  const issues = issuesIn(error);
  return new HttpProblem(status, error.code, error.message, { cause: error, ...(issues === undefined ? {} : { issues }) });
}

/** The body of an answer that tells of a problem (RFC 9457). */
export function problemBody(problem: HttpProblem, requestId: string, showInternals: boolean): Readonly<Record<string, unknown>> {
  const hidden = problem.status === 500 && !showInternals;
  return {
    type: `urn:symphony:problem:${problem.code.toLowerCase().replaceAll("_", "-")}`,
    title: TITLES[problem.status] ?? "The request failed",
    status: problem.status,
    code: problem.code,
    ...(hidden ? {} : { detail: problem.message }),
    requestId,
    ...(problem.issues === undefined ? {} : { errors: problem.issues }),
  };
}

function issuesIn(error: MessengerError): readonly ValidationIssue[] | undefined {
  if (error instanceof ValidationError) {
    return error.issues.map(({ path, message }) => ({ path: under("message.payload", path), message }));
  }
  const { path } = error.details;
  if (typeof path !== "string") return undefined;
  if (error instanceof OptionsError) return [{ path, message: error.message }];
  if (error.code === "DISPATCH_OPTIONS_INVALID") return [{ path: `options.${path}`, message: error.message }];
  return [{ path: path.startsWith("payload") ? `message.${path}` : `options.${path}`, message: error.message }];
}

const under = (root: string, path: string): string => (path === "" ? root : path.startsWith("[") ? `${root}${path}` : `${root}.${path}`);

function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    // An object without a prototype, or with a toString that throws: anything can be thrown.
    return "something that cannot be shown was thrown";
  }
}
