import { type Clock, ConfigError, ERROR_CODES, type ErrorCode, MessengerError, TransportError } from "@symphony/core";
import { type Environment, readVariable } from "../environment.ts";
import { CommandFailed, EXIT } from "../exit-codes.ts";

/** Where an admin API is, and what lets us in. */
export interface RemoteAddress {
  readonly url: string;
  readonly token: string;
}

export const URL_VARIABLE = "SYMPHONY_URL";
const TOKEN_VARIABLE = "SYMPHONY_AUTH_TOKEN";

/** @throws {ConfigError} `CONFIG_INVALID`: no http(s) URL, or no token for it. */
export function parseAddress(url: string, environment: Environment): RemoteAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["http:", "https:"].includes(parsed.protocol) || parsed.username !== "" || parsed.search !== "")
    throw new ConfigError("--url must be the address of an admin API, such as https://messenger.example.org", { path: "url" });
  const token = readVariable(environment, TOKEN_VARIABLE, { secret: true })?.value;
  if (token === undefined)
    throw new ConfigError(`--url needs a token of that admin API: set ${TOKEN_VARIABLE} or ${TOKEN_VARIABLE}_FILE`, {
      path: TOKEN_VARIABLE,
    });
  return { url: parsed.href.replace(/\/+$/, ""), token };
}

type Query = Readonly<Record<string, string | number | undefined>>;

/** What the other end refused, in its own words. */
export class RefusedError extends CommandFailed {
  /** What is wrong with the request, field by field; empty when that was not said. */
  readonly issues: readonly Issue[];

  constructor(message: string, code: string, issues: readonly Issue[]) {
    super(message, EXIT.failed, code);
    this.name = "RefusedError";
    this.issues = issues;
  }
}

interface Issue {
  readonly path: string;
  readonly message: string;
}

interface Problem {
  readonly code?: unknown;
  readonly detail?: unknown;
  readonly errors?: unknown;
}

/** Milliseconds for one request. */
const TIMEOUT_MS = 30_000;

/** Speaks the admin API's HTTP. */
export class AdminClient {
  readonly #address: RemoteAddress;
  readonly #clock: Clock;

  constructor(address: RemoteAddress, clock: Clock) {
    this.#address = address;
    this.#clock = clock;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return (await this.#request<T>("GET", path, query)).body;
  }

  async post<T>(path: string, body: unknown, query: Query = {}): Promise<T> {
    return (await this.#request<T>("POST", path, query, body)).body;
  }

  async delete<T>(path: string, query: Query = {}): Promise<T> {
    return (await this.#request<T>("DELETE", path, query)).body;
  }

  /** As `post`, for whom the status tells something. */
  send<T>(path: string, body: unknown): Promise<{ readonly status: number; readonly body: T }> {
    return this.#request("POST", path, {}, body);
  }

  /**
   * @throws {MessengerError} with the code of the refusal, where the library has it; `TRANSPORT_UNAVAILABLE` when nobody answers.
   * @throws {RefusedError} any other refusal, with its code.
   */
  async #request<T>(method: string, path: string, query: Query, body?: unknown): Promise<{ readonly status: number; readonly body: T }> {
    const { url, token } = this.#address;
    const parameters = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)] as [string, string]],
    );
    const search = parameters.length === 0 ? "" : `?${new URLSearchParams(parameters)}`;
    const abort = new AbortController();
    const timer = this.#clock.schedule(TIMEOUT_MS, () => abort.abort(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
    try {
      const response = await fetch(`${url}${path}${search}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: abort.signal,
        redirect: "error",
      });
      const text = await response.text();
      if (!response.ok) throw refusal(response.status, text, url);
      return { status: response.status, body: JSON.parse(text) as T };
    } catch (error) {
      if (error instanceof MessengerError || error instanceof RefusedError) throw error;
      const why = (error as { cause?: { message?: string } }).cause?.message ?? (error as Error).message;
      throw new TransportError("TRANSPORT_UNAVAILABLE", `the admin API at ${url} does not answer: ${why}`, { cause: error });
    } finally {
      timer.cancel();
    }
  }
}

const isKnown = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(ERROR_CODES, code);

function refusal(status: number, text: string, url: string): Error {
  let problem: Problem = {};
  try {
    problem = JSON.parse(text) as Problem;
  } catch {
    // Not ours: a proxy in between answers as it likes.
  }
  const issues = Array.isArray(problem.errors) ? (problem.errors as readonly Issue[]) : [];
  const listed = issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
  const said = typeof problem.detail === "string" ? problem.detail : `the admin API at ${url} answered ${status}`;
  if (isKnown(problem.code)) return new MessengerError(problem.code, said, { details: { status } });
  if (status === 503) return new TransportError("TRANSPORT_UNAVAILABLE", said);
  const code = typeof problem.code === "string" ? problem.code : "ADMIN_API_REFUSED";
  return new RefusedError(code === "VALIDATION_FAILED" && !said.includes(listed) ? `${said}: ${listed}` : said, code, issues);
}
