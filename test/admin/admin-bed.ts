import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { createDatabase, type Database, sharedServer } from "../support/database.ts";
import { Processes, type RunningProcess } from "../support/processes.ts";

export const SCOPES = ["symphony:read", "symphony:payload", "symphony:dispatch", "symphony:operate", "symphony:purge"] as const;
const CONFIG = fileURLToPath(new URL("symphony.config.ts", import.meta.url));

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed, when it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of all routes; what is in them is what the tests look at
  readonly body: any;
}

export interface AskOptions {
  /** Default: one with all scopes; null: none. */
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A started `symphony admin` on a database of its own, and what a client may know of it. */
export interface AdminBed {
  readonly url: string;
  readonly database: Database;
  readonly process: RunningProcess;
  readonly tokens: {
    readonly all: string;
    readonly expired: string;
    readonly cron: string;
    readonly scoped: Readonly<Record<string, string>>;
  };
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>;
  /** Id of a message that has failed. */
  fail(payload?: unknown): Promise<string>;
  stop(): Promise<void>;
}

export interface AdminBedOptions {
  /** The way to the database, such as through a proxy. Default: directly. */
  readonly dsn?: (connectionString: string) => string;
  readonly env?: Readonly<Record<string, string>>;
  /** Of another bed, which owns it. Default: one of its own. */
  readonly database?: Database;
  /** More entries of the tokens file. */
  readonly entries?: readonly object[];
}

export async function openAdminBed(options: AdminBedOptions = {}): Promise<AdminBed> {
  await using undo = new AsyncDisposableStack();
  const server = await sharedServer();
  undo.defer(() => server.release());
  const database = options.database ?? (await createDatabase(server));
  if (options.database === undefined) undo.defer(() => database.close({ keep: false }));
  const directory = mkdtempSync(join(tmpdir(), "symphony-admin-"));
  undo.defer(() => rmSync(directory, { recursive: true }));
  const { entries, tokens } = makeTokens();
  const tokensFile = join(directory, "tokens.json");
  writeFileSync(tokensFile, JSON.stringify({ tokens: [...entries, ...(options.entries ?? [])] }));
  const processes = new Processes();
  undo.defer(() => processes.end());
  const process = processes.symphony(["admin", "--port", "0", "--json", "--config", CONFIG], {
    env: {
      SYMPHONY_TEST_DSN: (options.dsn ?? ((dsn: string) => dsn))(database.connectionString),
      SYMPHONY_AUTH_TOKENS_FILE: tokensFile,
      CRON_SECRET: tokens.cron,
      SYMPHONY_WORKER_TIME_LIMIT: "2000",
      SYMPHONY_HEALTH_PORT: "0",
      ...options.env,
    },
  });
  const line = await process.waitForLine("admin API listening");
  const url = String(line.json?.url);
  const ask: AdminBed["ask"] = (method, path, o = {}) => request(url + path, method, o, tokens.all);
  const owned = undo.move();
  return {
    url,
    database,
    process,
    tokens,
    ask,
    async fail(payload = { canary: "payload-canary" }) {
      const sent = await ask("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload } } });
      await ask("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
      return sent.body.messageId;
    },
    stop: () => owned.disposeAsync(),
  };
}

/** One for all tests of a file. */
export async function sharedBed(options: AdminBedOptions = {}): Promise<AdminBed> {
  const bed = await openAdminBed(options);
  after(() => bed.stop());
  return bed;
}

export async function adminBed(t: TestContext, options: AdminBedOptions = {}): Promise<AdminBed> {
  const bed = await openAdminBed(options);
  t.after(() => bed.stop());
  return bed;
}

function makeTokens() {
  const entries: object[] = [];
  const make = (name: string, scopes: readonly string[], expiresAt?: string): string => {
    const token = randomBytes(32).toString("base64url");
    entries.push({
      name,
      sha256: createHash("sha256").update(token).digest("hex"),
      scopes,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    });
    return token;
  };
  const scoped = Object.fromEntries(SCOPES.map((scope) => [scope, make(scope.replace(":", "."), [scope])]));
  const tokens = {
    all: make("all", SCOPES),
    expired: make("expired", SCOPES, "2020-01-01T00:00:00Z"),
    cron: randomBytes(24).toString("base64url"),
    scoped,
  };
  return { entries, tokens };
}

async function request(url: string, method: string, o: AskOptions, all: string): Promise<Answer> {
  const token = o.token === undefined ? all : o.token;
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(o.body === undefined ? {} : { "content-type": "application/json" }),
      ...o.headers,
    },
    ...(o.body === undefined ? {} : { body: typeof o.body === "string" ? o.body : JSON.stringify(o.body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, headers: response.headers, text, body: isJson && text !== "" ? JSON.parse(text) : undefined };
}
