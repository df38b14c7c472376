import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import {
  createMemoryTransport,
  createMessenger,
  defineHandler,
  defineMessage,
  type MemoryTransport,
  type Messenger,
  type Runtime,
  type Schedule,
  systemRuntime,
  type Transport,
  UnrecoverableError,
} from "@symphony/core";
import { createRecordingLogger, type RecordingLogger } from "@symphony/core/testing";
import { z } from "zod";
import { Consumers } from "../consume/consumers.ts";
import { limitsFromEnvironment } from "../consume/environment.ts";
import { SECURITY_HEADERS } from "../http/security-headers.ts";
import { type AdminServerOptions, createAdminServer } from "../index.ts";
import type { AnyEndpoint } from "../routes/endpoint.ts";
import { createEndpoints } from "../routes/endpoints.ts";
import { ROUTES, type RouteEntry, type RouteName } from "../routes/table.ts";
import { StatusReadings } from "../status-readings.ts";

export const TOKEN = "test-token-0123456789-abcdefghijklmnop";
export const CRON_SECRET = "cron-secret-9f3b7a1c5d";

const Resize = defineMessage("image.resize", { schema: z.object({ url: z.url(), width: z.int() }), queue: "images" });
const Fail = defineMessage("test.fail", { queue: "images", retry: { maxRetries: 0 } });
export const Ping = defineMessage("test.ping");

export interface Admin {
  readonly url: string;
  readonly messenger: Messenger;
  readonly transport: Transport;
  readonly logger: RecordingLogger;
  /** One request; with the token of all scopes unless told otherwise. */
  call<T = Answered>(method: string, path: string, o?: CallOptions): Promise<Reply<T>>;
  /** A message in the dead letters; resolves with its id. */
  fail(payload?: unknown): Promise<string>;
  stop(o?: { deadlineMs?: number }): Promise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of all routes; what is in them is what the tests look at
export type Answered = any;

export interface CallOptions {
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
  readonly text: string;
}

export interface AdminInput extends Partial<Omit<AdminServerOptions, "messenger">> {
  readonly transport?: Transport;
  readonly handlers?: boolean;
  readonly schedules?: readonly Schedule[];
  readonly runtime?: Runtime;
}

/** A running server on a free port, stopped after the test. Limits are wide: tests of limits set their own. */
export async function startAdmin(t: Pick<TestContext, "after">, input: AdminInput = {}): Promise<Admin> {
  const { transport = memory(), handlers = true, schedules = [], runtime = systemRuntime, ...options } = input;
  const messenger = await createMessenger(
    {
      transports: { default: { dsn: "given:" } },
      messages: [Resize, Fail, Ping],
      schedules,
      handlers: handlers
        ? [
            defineHandler(Resize, () => undefined, { execution: "inline" }),
            defineHandler(Ping, () => undefined, { execution: "inline" }),
            defineHandler(
              Fail,
              () => {
                throw new UnrecoverableError("it cannot work");
              },
              { execution: "inline" },
            ),
          ]
        : [],
    },
    { transports: { default: transport } },
  );
  const logger = createRecordingLogger();
  const server = createAdminServer({
    auth: { token: TOKEN, cronSecret: CRON_SECRET },
    limits: { requestsPerMinute: 100_000, failuresPerMinute: 100_000 },
    port: 0,
    logger,
    runtime,
    ...options,
    messenger,
  });
  const { url } = await server.start();
  t.after(async () => {
    await server.stop({ deadlineMs: 1_000 });
    await messenger.close();
  });
  const endpoints = createEndpoints({
    messenger,
    reader: messenger,
    runtime,
    publicDocs: false,
    requireCronNonce: false,
    readings: new StatusReadings({ reader: messenger, clock: runtime.clock }),
    credentials: { state: () => Promise.resolve({ tokens: 1, expired: [], issuer: null }) },
    wakeRedrives: () => undefined,
    cronLimits: limitsFromEnvironment({}),
    consumers: new Consumers({ messenger, runtime, logger }),
  });
  const call: Admin["call"] = async (method, path, o = {}) => {
    const reply = await request(url + path, method, o);
    assertAnswer(endpoints, method, path, reply);
    return reply as never;
  };
  return {
    url,
    messenger,
    transport,
    logger,
    call,
    async fail(payload = { secret: "canary" }) {
      const sent = await call("POST", "/api/symphony/dispatch", { body: { message: { type: "test.fail", payload } } });
      await call("POST", "/api/symphony/consume", { body: { timeLimit: 5_000 } });
      return sent.body.messageId;
    },
    stop: (o) => server.stop(o),
  };
}

export const memory = (): MemoryTransport => createMemoryTransport({ queues: ["default", "images"] });

/** Every answer, in every test, is one that the document promises. */
function assertAnswer(endpoints: Readonly<Record<RouteName, AnyEndpoint>>, method: string, path: string, reply: Reply<unknown>): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS))
    if (!path.startsWith("/docs")) assert.equal(reply.headers.get(name), value, name);
  if (reply.status >= 400) {
    const { type, title, status, code, requestId } = reply.body as Record<string, unknown>;
    assert.match(reply.headers.get("content-type") ?? "", /^application\/problem\+json/);
    assert.deepEqual([typeof type, typeof title, status, typeof code], ["string", "string", reply.status, "string"]);
    assert.equal(requestId, reply.headers.get("x-request-id"));
    return;
  }
  const [pathname = ""] = path.split("?");
  const [name] =
    (Object.entries(ROUTES) as [RouteName, RouteEntry][]).find(
      ([, entry]) => entry.method === method && new RegExp(`^${entry.path.replace(/:\w+/, "[^/]+")}$`).test(pathname),
    ) ?? [];
  if (name === undefined) return;
  const schema = endpoints[name].answers[reply.status];
  assert.ok(schema !== undefined, `${method} ${path} answers ${reply.status}, which its declaration does not know`);
  schema.parse(reply.body);
}

async function request<T>(url: string, method: string, o: CallOptions): Promise<Reply<T>> {
  const token = o.token === undefined ? TOKEN : o.token;
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(o.body === undefined ? {} : { "content-type": "application/json" }),
      connection: "close",
      ...o.headers,
    },
    ...(o.body === undefined ? {} : { body: typeof o.body === "string" ? o.body : JSON.stringify(o.body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, headers: response.headers, body: (isJson && text !== "" ? JSON.parse(text) : text) as T, text };
}
