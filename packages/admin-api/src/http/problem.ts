import { ERROR_CODES, type ErrorCode, MessengerError, OptionsError, ValidationError, type ValidationIssue } from "@symphony/core";

/** Codes of answers that no error of the library stands behind: status, and what it means to the caller. */
const OWN = {
  VALIDATION_FAILED: [400, "the request is not valid; every issue is in errors, with its path"],
  UNAUTHORIZED: [401, "there is no valid token"],
  FORBIDDEN: [403, "the token lacks the scope of this route"],
  NOT_FOUND: [404, "there is nothing at this path"],
  METHOD_NOT_ALLOWED: [405, "this path takes another method; Allow says which"],
  CONFLICT: [409, "somebody else was faster, or what was asked for is over already"],
  REQUEST_IN_PROGRESS: [409, "the request with this Idempotency-Key is being carried out; Retry-After says when to ask again"],
  REQUEST_REPLAYED: [409, "the nonce was used before, or its timestamp is not of now"],
  BODY_TOO_LARGE: [413, "the body has more bytes than this route takes"],
  UNSUPPORTED_MEDIA_TYPE: [415, "the body is not JSON in UTF-8, or it is compressed"],
  IDEMPOTENCY_KEY_REUSED: [422, "the Idempotency-Key was sent before, with another request"],
  RATE_LIMITED: [429, "too many requests with this token, or without a valid one from this address; Retry-After says when"],
  INTERNAL: [500, "a defect, or a database that refused; the log has it under requestId"],
  OVERLOADED: [503, "too many requests at a time; Retry-After says when"],
} as const satisfies Readonly<Record<string, readonly [status: number, means: string]>>;

export type HttpCode = keyof typeof OWN;

/** Seconds. A database that restarts is back in about that. */
const RETRY_AFTER_S = 5;

/** The status of every error of the library that a request can run into; any other is `INTERNAL`. */
const STATUS_OF = {
  DISPATCH_OPTIONS_INVALID: 400,
  PAYLOAD_INVALID: 400,
  PAYLOAD_NOT_JSON: 400,
  PAYLOAD_TOO_DEEP: 400,
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
  PAYLOAD_TOO_LARGE: 413,
  MESSAGE_TYPE_UNKNOWN: 422,
  ROUTE_NOT_FOUND: 422,
  CAPABILITY_MISSING: 422,
  HANDLER_NOT_FOUND: 422,
  SCHEDULE_FAILED: 422,
  TRANSPORT_UNAVAILABLE: 503,
  ISSUER_UNAVAILABLE: 503,
  AUDIT_FAILED: 503,
  MESSENGER_CLOSED: 503,
  SCHEMA_VERSION_MISMATCH: 503,
} as const satisfies Partial<Record<ErrorCode, number>>;

type LibraryCode = keyof typeof STATUS_OF;

const hasStatus = (code: ErrorCode): code is LibraryCode => Object.hasOwn(STATUS_OF, code);

/** Everything that this API answers instead of what was asked for. */
export const PROBLEMS: readonly { readonly code: ProblemCode; readonly status: number; readonly means: string }[] = [
  ...(Object.entries(OWN) as [HttpCode, readonly [number, string]][]).map(([code, [status, means]]) => ({ code, status, means })),
  ...(Object.entries(STATUS_OF) as [LibraryCode, number][]).map(([code, status]) => ({ code, status, means: ERROR_CODES[code] })),
].sort((a, b) => a.status - b.status);

export type ProblemCode = HttpCode | LibraryCode;

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
  readonly code: ProblemCode;
  readonly issues: readonly ValidationIssue[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: ProblemCode,
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
  // An option that the schemas let through: to the caller it is one more field that is wrong.
  if (error instanceof OptionsError) return invalid([{ path: error.path, message: error.message }]);
  if (!(error instanceof MessengerError) || !hasStatus(error.code))
    return new HttpProblem(500, "INTERNAL", messageOf(error), { cause: error });
  const status = STATUS_OF[error.code];
  if (status === 503) {
    return new HttpProblem(503, error.code, ERROR_CODES[error.code], { headers: { "retry-after": String(RETRY_AFTER_S) }, cause: error });
  }
  const issues = issuesIn(error);
  return new HttpProblem(status, error.code, error.message, { cause: error, ...(issues === undefined ? {} : { issues }) });
}

/** The URI that stands for a code. */
export const problemType = (code: ProblemCode): string => `urn:symphony:problem:${code.toLowerCase().replaceAll("_", "-")}`;

/** The body of an answer that tells of a problem (RFC 9457). */
export function problemBody(problem: HttpProblem, requestId: string, showInternals: boolean): Readonly<Record<string, unknown>> {
  const hidden = problem.status === 500 && !showInternals;
  return {
    type: problemType(problem.code),
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
