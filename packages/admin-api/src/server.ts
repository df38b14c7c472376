import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConfigError, RedriveRunner, toErrorRecord } from "@symphony/core";
import { createApp } from "./app.ts";
import { Tidying } from "./audit/tidying.ts";
import { Credentials } from "./auth/credentials.ts";
import { Connections } from "./connections.ts";
import { Consumers } from "./consume/consumers.ts";
import { SECURITY_HEADERS } from "./http/security-headers.ts";
import { type AdminServerOptions, parseServerOptions } from "./options.ts";
import { createEndpoints } from "./routes/endpoints.ts";
import { StatusReadings } from "./status-readings.ts";

export interface AdminServer {
  /**
   * Listens.
   *
   * @throws {ConfigError} `CONFIG_INVALID` the address cannot be had.
   */
  start(): Promise<{ readonly url: string }>;
  /**
   * Stops accepting, lets requests in progress finish and ends what is left at the deadline. Idempotent, safe before
   * `start`. The messenger stays open: whoever made it closes it.
   *
   * @param options.deadlineMs - Milliseconds from now. Default 5000.
   */
  stop(options?: { readonly deadlineMs?: number }): Promise<void>;
}

/** Milliseconds, bytes and numbers an honest client never reaches. Those of Node are for servers of large uploads. */
const HYGIENE = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 8_192,
  insecureHTTPParser: false,
  // Refused further in, with the headers and the body of every other refusal.
  requireHostHeader: false,
} as const;
const MAX_HEADERS = 100;
const MAX_REQUESTS_PER_SOCKET = 1_000;
const DEFAULT_DEADLINE_MS = 5_000;
/** Of the deadline: what is left for telling clients what was done, when the handlers have used up the rest. */
const ANSWER_SHARE = 0.25;

/**
 * The HTTP API. Closed by default: without credentials it is not even made.
 *
 * @throws {ConfigError} `CONFIG_INVALID` no credentials, weak ones, or a tokens file that cannot be read.
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const o = parseServerOptions(options);
  const { logger, runtime } = o;
  const consumers = new Consumers(o);
  const { messenger } = o;
  const transports = Object.fromEntries(messenger.transportNames.map((name) => [name, messenger.transport(name)]));
  const redrives = new RedriveRunner({ transports, runtime, logger });
  const { publicDocs = false, requireCronNonce = false } = o.auth;
  const credentials = new Credentials(o.auth, runtime.clock, logger);
  const readings = new StatusReadings({ reader: o.reader, clock: runtime.clock });
  const endpoints = createEndpoints({
    ...o,
    readings,
    credentials,
    consumers,
    publicDocs,
    requireCronNonce,
    wakeRedrives: () => redrives.wake(),
  });
  const app = createApp({ ...o, endpoints, credentials, publicDocs, onChange: () => readings.changed() });
  const tidying = new Tidying({ messenger: o.messenger, clock: runtime.clock, logger });
  const server = createServer(HYGIENE);
  const handle = app.callback();
  const connections = new Connections(server, runtime.clock, logger);
  let isStopping = false;
  server.on("request", (request, response) => {
    const excess = connections.tooMany(request);
    if (excess === "ignore") return;
    if (excess === "first") return refuseExcess(response, 503);
    if (request.rawHeaders.length > 2 * MAX_HEADERS) return refuseExcess(response, 431);
    if (isStopping) response.setHeader("connection", "close");
    void connections.during(request, () => handle(request, response));
  });
  harden(server);
  return {
    async start() {
      await listen(server, o.port, o.host);
      server.on("error", (error) => logger.error({ err: toErrorRecord(error) }, "the admin listener failed"));
      const url = urlOf(server, o.host);
      tidying.start();
      readings.start();
      redrives.start();
      logger.info({ url }, "admin API listening");
      return { url };
    },
    async stop({ deadlineMs = DEFAULT_DEADLINE_MS } = {}) {
      isStopping = true;
      tidying.stop();
      readings.stop();
      const timer = runtime.clock.schedule(deadlineMs, () => server.closeAllConnections());
      // It says so when it was not listening, which is what was asked for.
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeIdleConnections();
      await Promise.all([consumers.stop(deadlineMs * (1 - ANSWER_SHARE)), redrives.stop(), closed]);
      timer.cancel();
    },
  };
}

function harden(server: Server): void {
  // One more is seen, and refused: cut off without a word, those after it would be missing from the request.
  server.maxHeadersCount = MAX_HEADERS + 1;
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_SOCKET;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuse(socket, STATUS_OF_CODE[error.code ?? ""] ?? "400 Bad Request"));
  server.on("upgrade", (_request, socket) => refuse(socket, "400 Bad Request"));
  server.on("connect", (_request, socket) => refuse(socket, "405 Method Not Allowed"));
}

/** The last answer on a connection, to a client that sends requests without waiting, or too many headers. */
function refuseExcess(response: ServerResponse, status: 431 | 503): void {
  const retry = status === 503 ? { "retry-after": "1" } : {};
  response.writeHead(status, { ...SECURITY_HEADERS, ...retry, connection: "close", "content-length": "0" });
  response.end();
}

const STATUS_OF_CODE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** For what never became a request. */
function refuse(socket: Duplex | Socket, status: string): void {
  if (!socket.writable) return void socket.destroy();
  const headers = Object.entries({ ...SECURITY_HEADERS, connection: "close", "content-length": "0" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.on("error", () => undefined);
  socket.end(`HTTP/1.1 ${status}\r\n${headers.join("\r\n")}\r\n\r\n`, () => socket.destroy());
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => {
      reject(new ConfigError(`the admin API cannot listen on ${host}:${port}: ${cause.message}`, { host, port }, cause));
    };
    server.once("error", fail);
    server.listen({ port, host }, () => {
      server.off("error", fail);
      resolve();
    });
  });
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  const everywhere = host === "0.0.0.0" || host === "::";
  const shown = everywhere ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${shown}:${port}`;
}
