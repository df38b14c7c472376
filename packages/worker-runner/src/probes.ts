import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, toErrorRecord } from "@symphony/core";
import type { Check, Probe } from "./liveness.ts";

export interface ProbeListenerOptions {
  /** Default 0.0.0.0. */
  readonly host?: string;
  /** Default 8081; 0: any free one. */
  readonly port?: number;
  /** Called with every request for a probe, which passes when all its checks do; must not wait for anything. */
  readonly checks: (probe: Probe) => readonly Check[];
  /** Prometheus text for `/metrics`, which is not there without it. */
  readonly metrics?: () => string | Promise<string>;
  /** `/metrics` is for those who send it as a bearer token. Default: for all. Probes never want one. */
  readonly metricsToken?: string | undefined;
  readonly logger: Logger;
}

export interface ProbeListener {
  /** @throws {Error} of `node:net` when the port cannot be had (`EADDRINUSE`, `EACCES`). */
  start(): Promise<{ readonly port: number }>;
  /** Idempotent; ends open connections. */
  stop(): Promise<void>;
}

const DEFAULT_HOST = "0.0.0.0";
const DEFAULT_PORT = 8081;
/** Milliseconds for a request to arrive and for a connection to idle; probes are small and local. */
const REQUEST_MS = 5_000;
const MAX_CONNECTIONS = 256;

const PROBES: Readonly<Record<string, Probe>> = { "/livez": "livez", "/readyz": "readyz", "/startupz": "startupz" };

/**
 * Answers `/livez`, `/readyz` and `/startupz` with 200 or 503, `?verbose` with every check by name, and `/metrics`.
 * Nothing here changes anything, and only these very paths are known.
 */
export function createProbeListener(options: ProbeListenerOptions): ProbeListener {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT } = options;
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, keepAliveTimeout: REQUEST_MS },
    (request, response) => {
      void answer(request, response, options);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  return {
    async start() {
      await listen(server, port, host);
      server.on("error", (error) => options.logger.error({ err: toErrorRecord(error) }, "the probe listener failed"));
      return { port: (server.address() as AddressInfo).port };
    },
    stop: () => stop(server),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // It says so when it was not listening, which is what was asked for.
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, options: ProbeListenerOptions): Promise<void> {
  const [path = "", query] = splitOnce(request.url ?? "");
  const probe = Object.hasOwn(PROBES, path) ? PROBES[path] : undefined;
  const isMetrics = path === "/metrics" && options.metrics !== undefined;
  if (probe === undefined && !isMetrics) return reply(response, 404, "not found\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return reply(response, 405, "method not allowed\n");
  }
  if (isMetrics && options.metricsToken !== undefined && !bears(request, options.metricsToken)) {
    response.setHeader("www-authenticate", 'Bearer realm="symphony metrics"');
    return reply(response, 401, "a token is needed\n");
  }
  try {
    if (probe === undefined) reply(response, 200, (await options.metrics?.()) ?? "", "text/plain; version=0.0.4; charset=utf-8");
    else replyProbe(response, options.checks(probe), new URLSearchParams(query).has("verbose"));
  } catch (error) {
    options.logger.error({ err: toErrorRecord(error), path }, "a probe could not be answered");
    reply(response, 500, "failed\n");
  }
}

/** Takes as long whatever was sent. */
function bears({ headers }: IncomingMessage, token: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(headers.authorization ?? ""), digest(`Bearer ${token}`));
}

function replyProbe(response: ServerResponse, checks: readonly Check[], verbose: boolean): void {
  const failed = checks.filter((check) => !check.ok);
  const status = failed.length === 0 ? 200 : 503;
  if (verbose)
    reply(response, status, `${JSON.stringify({ status: status === 200 ? "ok" : "failed", checks })}\n`, "application/json; charset=utf-8");
  else reply(response, status, status === 200 ? "ok\n" : `failed: ${failed.map((check) => check.name).join(", ")}\n`);
}

function reply(response: ServerResponse, status: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(body);
}

function splitOnce(url: string): readonly [string, string] {
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}
