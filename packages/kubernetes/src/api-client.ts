import { readFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request } from "node:https";
import { MessengerError } from "@symphony/core";

/** What this package asks of an API server. Bodies are JSON; every failure is a `KUBERNETES_FAILED`. */
export interface KubernetesApi {
  readonly namespace: string;
  get(path: string): Promise<unknown>;
  post(path: string, body: unknown): Promise<unknown>;
  /** A merge patch. */
  patch(path: string, body: unknown): Promise<unknown>;
}

export interface ApiAddress {
  readonly url: string;
  readonly namespace: string;
  /** Read for every request: the kubelet replaces it every hour. */
  readonly token: () => string;
  /** Of the authority that signed the server's certificate. */
  readonly ca?: string;
}

const MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Milliseconds. */
const ANSWERS_WITHIN_MS = 10_000;
const LONGEST_ANSWER = 8 * 1_048_576;

/** @throws {MessengerError} `KUBERNETES_FAILED` this is no pod, or one without a token. */
export function inClusterAddress(environment: Readonly<Record<string, string | undefined>>): ApiAddress {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = environment;
  if (host === undefined) throw failure("this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set");
  try {
    const read = (name: string): string => readFileSync(`${MOUNT}/${name}`, "utf8").trim();
    return {
      url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      namespace: read("namespace"),
      ca: read("ca.crt"),
      token: () => read("token"),
    };
  } catch (cause) {
    throw failure("this pod has no token of a service account", cause);
  }
}

export function createApi(address: ApiAddress): KubernetesApi {
  return {
    namespace: address.namespace,
    get: (path) => ask(address, "GET", path),
    post: (path, body) => ask(address, "POST", path, { type: "application/json", value: body }),
    patch: (path, body) => ask(address, "PATCH", path, { type: "application/merge-patch+json", value: body }),
  };
}

interface Body {
  readonly type: string;
  readonly value: unknown;
}

function ask(address: ApiAddress, method: string, path: string, body?: Body): Promise<unknown> {
  const url = new URL(path, address.url);
  const send = url.protocol === "https:" ? request : plainRequest;
  const headers = {
    authorization: `Bearer ${address.token()}`,
    accept: "application/json",
    ...(body === undefined ? {} : { "content-type": body.type }),
  };
  return new Promise((resolve, reject) => {
    const options = {
      method,
      headers,
      signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
      ...(address.ca === undefined ? {} : { ca: address.ca }),
    };
    const sent = send(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > LONGEST_ANSWER) sent.destroy(new Error("the answer is too long"));
      });
      response.on("error", (cause) => reject(failure(`${method} ${url.pathname}: ${cause.message}`, cause)));
      response.on("end", () => {
        try {
          resolve(parse(method, url.pathname, response.statusCode ?? 0, text));
        } catch (error) {
          reject(error);
        }
      });
    });
    sent.on("error", (cause) => reject(failure(`${method} ${url.pathname}: ${cause.message}`, cause)));
    sent.end(body === undefined ? undefined : JSON.stringify(body.value));
  });
}

function parse(method: string, path: string, status: number, text: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw failure(`${method} ${path} answered ${status} and no JSON`, cause);
  }
  if (status >= 200 && status < 300) return body;
  const { message } = body as { message?: unknown };
  throw failure(`${method} ${path} answered ${status}: ${typeof message === "string" ? message : "no reason given"}`);
}

export const failure = (text: string, cause?: unknown): MessengerError => new MessengerError("KUBERNETES_FAILED", text, { cause });
